"""The book: a site of the executed notebooks of a demo eye, the guide, and the reference."""
