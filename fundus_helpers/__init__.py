"""Registration of photographs of the retina: what is most asked for, and the rooms it lies in.

Everything here is loaded when it is first used. `import fundus_helpers as fh`, then `fh.` and the
Tab key, show what there is; `help(fh.warp)` tells how to use it.
"""

import lazy_loader as lazy

__version__ = "0.2.0"  # pyproject.toml takes it from here
__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
