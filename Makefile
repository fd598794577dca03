# The Python that makes .venv. Everything else runs inside .venv.
PYTHON ?= python3
DATA ?= data
RESULTS ?= results
PATIENT ?= demo_colour
EYE ?= L
# Where notebooks run: workflow/profiles/local, workflow/profiles/slurm, or one of your own (docs/cluster.md).
PROFILE ?= local
CORES ?= $(shell nproc 2>/dev/null || echo 2)
# How many notebooks run at the same time, and the memory in MB for all of them. The defaults are
# the processors and the memory of this machine (known on Linux). On a cluster the profile decides.
JOBS ?= $(if $(filter local,$(PROFILE)),$(CORES))
MEMORY ?= $(if $(filter local,$(PROFILE)),$(shell awk '/^MemTotal/ {print int($$2 / 1024)}' /proc/meminfo 2>/dev/null))
# Numbers of the notebooks to run ("02 05 09 11"; empty: every notebook), and the part of all eyes
# to run (1/10, 2/10, ...; empty: all eyes).
NOTEBOOKS ?=
# 1: make eye runs every notebook, and so compares all methods.
ALL ?=
PART ?=
# 1: replace the names of patients by pseudonyms, made with a key that stays on this machine.
PSEUDONYM ?=
# How visits are named, if not by the names of their files: a table of visits (default: visits.csv in
# the data folder), what its columns are called, and another rule for names (data/README.md).
VISITS ?=
VISITS_COLUMNS ?=
PATTERN ?=
# The visit that serves as the template: first, last, its name, or selected (by notebook 02).
TEMPLATE ?= selected
# For make benchmark: folder of FIRE, names of methods (empty: all), file of the table.
FIRE ?= $(FIRE_DIR)
METHODS ?=
OUT ?= fire.csv
# For make register: folder of its results.
INTO ?= registered
# Parameters of the notebooks, for example: make eye ... WITH="size=512 method=similarity"
WITH ?=
# For make atrophy: an ellipse "x y a b angle" around all atrophy and the fovea "x y", in pixels of the
# template's photograph (TEMPLATE=, here the first visit unless told otherwise); 1 if the first visit
# has no atrophy; millimetres per pixel of that photograph.
ELLIPSE ?=
FOVEA ?=
FIRST_FREE ?=
MM_PER_PIXEL ?=
# For make benchmark-cohort: its options.
ARGS ?=

BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Names that a user gives are text. Recipes read them from the environment, so that neither make nor
# the shell takes a dollar sign or a quote in them for its own.
NAMES := DATA RESULTS PATIENT EYE TEMPLATE NOTEBOOKS PART FIRE OUT FIXED MOVING INTO \
	VISITS VISITS_COLUMNS PATTERN ELLIPSE FOVEA
$(foreach name,$(NAMES),$(if $(filter command environment,$(origin $(name))), \
	$(eval override $(name) := $$(value $(name)))))
export $(NAMES)
# The settings of names reach every notebook and every process on a cluster in the environment, where
# fundus_helpers/loading/visits/settings.py reads them. Notebooks run in a folder of their own.
ifdef VISITS
export FUNDUS_VISITS := $(if $(filter /%,$(firstword $(VISITS))),,$(CURDIR)/)$(VISITS)
endif
ifdef VISITS_COLUMNS
export FUNDUS_VISITS_COLUMNS := $(VISITS_COLUMNS)
endif
ifdef PATTERN
export FUNDUS_PATTERN := $(PATTERN)
endif
# Figures use the settings of this project, not a window of the user's.
unexport MPLBACKEND
# With PSEUDONYM=1, a run sees the photographs through links that are named by pseudonyms.
export VIEW := $(if $(PSEUDONYM),build/pseudonyms,$(DATA))
MAKE_VIEW = $(BIN)/python -m fundus_helpers.runs.folders "$$DATA" "$$RESULTS" "$$NOTEBOOKS" \
	$(if $(filter local,$(PROFILE)),,--cluster) && \
	$(BIN)/fundus pseudonyms $(if $(PSEUDONYM),view "$$DATA" "$$VIEW",plain) "$$RESULTS"
WHO = who=$(if $(PSEUDONYM),$$($(BIN)/fundus pseudonyms name "$$PATIENT" "$$DATA" "$$RESULTS"),$$PATIENT)
# On this machine, programs are forked from a process that has loaded all libraries.
WARM = $(if $(filter local,$(PROFILE)),$(BIN)/python -m fundus_helpers.runs.warm_start serve)
ifeq ($(PROFILE),local)
export FUNDUS_TELL_LESS := 1
endif
SNAKEMAKE = $(BIN)/snakemake --workflow-profile "workflow/profiles/$(PROFILE)" \
	$(if $(JOBS),--jobs $(JOBS)) $(if $(MEMORY),--resources mem_mb=$(MEMORY)) \
	--config "data=$$VIEW" "results=$$RESULTS" "template_visit=$$TEMPLATE" \
	$(if $(NOTEBOOKS),"notebooks=$$NOTEBOOKS",$(if $(MOST),notebooks=most)) $(if $(PART),"part=$$PART") \
	$(if $(ELLIPSE),"ellipse=$$ELLIPSE") $(if $(FOVEA),"fovea=$$FOVEA") \
	$(if $(filter-out 0 no false False,$(FIRST_FREE)),first_free=True) $(if $(MM_PER_PIXEL),"mm_per_pixel=$(MM_PER_PIXEL)") $(WITH)

.PHONY: help install demo book eye atrophy pdf stack visits cohort cohort-report cohort-dry lab app test lint picture benchmark-template benchmark-series benchmark-groupwise benchmark-clusters benchmark-networks benchmark-verdict benchmark-overlays benchmark-reach benchmark-displaced benchmark-atrophy benchmark-by-hand benchmark-tuning benchmark-cohort benchmark schema register weights clean
.DEFAULT_GOAL := help

help:  ## Show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22
	@echo
	@echo "Settings: DATA=$$DATA RESULTS=$$RESULTS PATIENT=$$PATIENT EYE=$$EYE TEMPLATE=$$TEMPLATE CORES=$(CORES) MEMORY=$(MEMORY) PROFILE=$(PROFILE) WITH=\"name=value ...\""
	@echo "Other names of files (data/README.md): VISITS=table VISITS_COLUMNS=\"file=... patient=...\" PATTERN=\"...\""

install: .venv/installed  ## Install everything into .venv

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(not (3, 11) <= v < (3, 14) and f"Python 3.11, 3.12 or 3.13 is needed, this is {v.major}.{v.minor}: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[book,cluster,test]'
	@touch $@

demo: .venv/installed  ## Paint the demo eye and run every notebook on it
	@$(BIN)/python -c 'import sys; from fundus_helpers import make_demo_eye; make_demo_eye(*sys.argv[1:])' "$$DATA" "$$PATIENT"
	@$(MAKE) --no-print-directory eye ALL=1 WITH="size=384 epochs=3 article_size=256 field_epochs=2 $(WITH)"

eye: MOST = $(if $(filter-out 0 no false False,$(ALL)),,1)
eye: .venv/installed  ## Register and judge one eye, follow its atrophy: DATA=folder PATIENT=name EYE=L|R (ALL=1: every notebook)
	@$(MAKE_VIEW)
	@$(WHO) && $(BIN)/fundus check "$$VIEW" "$$who" "$$EYE" $(FEWEST)
	@$(WHO); $(WARM) $(SNAKEMAKE) "patient=$$who" "laterality=$$EYE" -- eye; status=$$?; \
	$(BIN)/fundus summary "$$RESULTS" "$${who}_$$EYE"; exit $$status

# Hints are in pixels of the template, so it must be known before the run.
atrophy: override NOTEBOOKS := 12
atrophy: FEWEST := --fewest 1  # one visit has an area, but no growth
atrophy: override TEMPLATE := $(if $(filter file,$(origin TEMPLATE)),first,$(value TEMPLATE))
atrophy: eye  ## Follow the atrophy of one eye: DATA=folder PATIENT=name EYE=L|R ELLIPSE="x y a b angle" FOVEA="x y" FIRST_FREE=1 MM_PER_PIXEL=

# Snakemake knows which notebooks of the demo eye have to run: after `make demo`, none.
book: .venv/installed  ## Build the book: the notebooks as they ran on the demo eye, the guide, the reference
	@$(BIN)/python -m book check "$$PATIENT"
	@$(MAKE) --no-print-directory demo
	@$(BIN)/python -m book build "$$RESULTS" "$$PATIENT" "$$EYE"

pdf: .venv/installed  ## Print the report of one eye to a PDF (by a browser): RESULTS=folder PATIENT=name EYE=L|R
	@$(WHO) && $(BIN)/fundus pdf "$$RESULTS/$${who}_$$EYE/report.html"

stack: .venv/installed  ## Write the registered photographs of one eye as one TIFF for ImageJ: PATIENT=name EYE=L|R
	@$(WHO) && $(BIN)/fundus stack "$$RESULTS/$${who}_$$EYE"

visits: .venv/installed  ## Write a first table of visits (visits.csv) to correct in a spreadsheet: DATA=folder
	@$(BIN)/fundus visits "$$DATA"

# An ellipse and a fovea are of one eye. `make atrophy` remembers them for the runs of the cohort.
OF_ONE_EYE = $(if $(strip $(ELLIPSE)$(FOVEA)),$(error ELLIPSE and FOVEA are of one eye: give them to make \
	atrophy PATIENT= EYE= first, which remembers them, and then run make cohort without them))
cohort: .venv/installed  ## Run notebooks on every eye: DATA=folder NOTEBOOKS="02 09 11" PROFILE=local|slurm
	$(OF_ONE_EYE)
	@$(MAKE_VIEW)
	@$(WARM) $(MAKE) --no-print-directory run-cohort

# A part of a cohort has a report of its own. Methods are compared only over all eyes.
TELL = $(if $(PART),,$(SNAKEMAKE) --allowed-rules compared comparison -- compared || status=$$?;) \
	$(BIN)/python -m fundus_helpers.runs.warm_start run fundus_helpers cohort \
	"$$VIEW" "$$RESULTS" $(if $(PART),--part "$$PART") || status=$$?; exit $$status

# What `make cohort` runs after the libraries are loaded.
.PHONY: run-cohort
run-cohort:
	@$(SNAKEMAKE) -- cohort; status=$$?; $(TELL)

cohort-report: .venv/installed  ## Write only the report of all eyes, after their parts (PART=) have been run
	@$(MAKE_VIEW)
	@status=0; $(TELL)

cohort-dry: .venv/installed  ## Show what make cohort would run, and about how long it would take
	@$(MAKE_VIEW)
	@summary=$$($(SNAKEMAKE) --summary -- cohort) && printf '%s\n' "$$summary" | \
	$(BIN)/fundus plan "$$VIEW" "$$RESULTS" $(if $(PART),--part "$$PART") --jobs $(or $(JOBS),100)

# The folder of the project is the root, so that data, results and reports are in the list of files. The
# settings in app/jupyter leave out the news, which would ask the internet.
lab: .venv/installed  ## Open the notebooks in JupyterLab, on this machine only
	JUPYTER_CONFIG_PATH="$(CURDIR)/app/jupyter$${JUPYTER_CONFIG_PATH:+:$$JUPYTER_CONFIG_PATH}" \
	$(BIN)/jupyter lab --ip=127.0.0.1 --ServerApp.root_dir="$(CURDIR)" notebooks/01_exploratory_analysis.ipynb

# The page runs in the folder app.
SEEN_FROM_APP = $(if $(filter /%,$(firstword $(1))),,../)

app: .venv/installed  ## Open the sliders as a page without code, on this machine only: DATA=folder
	cd app && FUNDUS_DATA="$(call SEEN_FROM_APP,$(DATA))$$DATA" \
	FUNDUS_RESULTS="$(call SEEN_FROM_APP,$(RESULTS))$$RESULTS" ../$(BIN)/voila sliders.ipynb

# One process more than there are cores, because some tests mostly wait. The longest files go first.
# The tests run side by side, so each computes on one thread.
test: .venv/installed lint  ## Run the checks and the tests (FIRE_DIR=folder adds tests on real photographs)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
	$(BIN)/python -m pytest --numprocesses=$$(( $(CORES) + 1 )) --dist=loadfile --no-loadscope-reorder

lint: .venv/installed  ## Check code, imports, docstrings and notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/numpydoc lint $$(find fundus_helpers -name '*.py')
	$(BIN)/nbstripout --verify --keep-id notebooks/*.ipynb app/*.ipynb

benchmark-template: .venv/installed  ## Compare the time of template selection by a matrix product and by a double loop
	$(BIN)/python benchmarks/template.py

benchmark-clusters: .venv/installed  ## Compare the time of k-means on the directions that images span and on raw pixels
	$(BIN)/python benchmarks/clusters.py

benchmark-networks: .venv/installed  ## Train networks on one eye: DATA=folder PATIENT=name EYE=L|R (FIRE=folder: on other eyes too)
	$(BIN)/python benchmarks/networks.py "$$DATA" "$$PATIENT" "$$EYE" $(if $(FIRE),--fire "$$FIRE")

weights: .venv/installed  ## Train the networks of the package anew on painted retinas, in an hour: SEED=0 (FIRE=folder: measure them)
	$(BIN)/python benchmarks/weights.py --seed "$(or $(SEED),0)" $(if $(FIRE),--fire "$$FIRE") $(ARGS)

benchmark-series: .venv/installed  ## Measure every method on one eye: DATA=folder PATIENT=name EYE=L|R
	$(BIN)/python benchmarks/series.py "$$DATA" "$$PATIENT" "$$EYE"

benchmark-groupwise: .venv/installed  ## Measure time and memory of groupwise registration, for 10 and 100 visits
	$(BIN)/python benchmarks/groupwise.py

benchmark-atrophy: .venv/installed  ## Measure how exactly atrophy is found and how fast it grows, on demo eyes
	$(BIN)/python benchmarks/atrophy.py $(ARGS)

benchmark-by-hand: .venv/installed  ## Measure registration from points placed by hand on spoiled photographs (FIRE=folder: on FIRE, too)
	$(BIN)/python benchmarks/by_hand.py $(if $(FIRE),--fire "$$FIRE") $(ARGS)

benchmark-tuning: .venv/installed  ## Measure the time from the move of a slider to the new picture, for every method
	$(BIN)/python benchmarks/tuning.py

benchmark-cohort: .venv/installed  ## Measure overhead, time and memory of cohorts: ARGS="--eyes 200"
	PYTHONPATH=tests $(BIN)/python benchmarks/cohort.py $(ARGS)

benchmark: .venv/installed  ## Measure methods on the pairs of FIRE, or of a folder with pairs.csv: FIRE=folder METHODS="names" OUT=fire.csv
	@$(BIN)/fundus benchmark "$$FIRE" "$$OUT" $(if $(METHODS),--methods $(METHODS))

benchmark-verdict: .venv/installed  ## Measure how far verdicts and predicted errors can be trusted: FIRE=folder
	@$(BIN)/python benchmarks/verdict.py "$$FIRE"

benchmark-overlays: .venv/installed  ## Measure verdicts on photographs with text, lines and dust burned in: FIRE=folder
	@$(BIN)/python benchmarks/overlays.py "$$FIRE" $(ARGS)

benchmark-reach: .venv/installed  ## Measure keypoints on photographs that are turned, magnified and cropped: FIRE=folder
	@$(BIN)/python benchmarks/reach.py "$$FIRE" $(ARGS)

benchmark-displaced: .venv/installed  ## Measure how closely a part of the retina that was moved is followed: FIRE=folder
	@$(BIN)/python benchmarks/displaced.py "$$FIRE" $(ARGS)

schema: .venv/installed  ## Write the schema of metrics.json into docs/ again
	@$(BIN)/python -c 'import json, fundus_helpers as fh; print(json.dumps(fh.results.metrics_schema(), indent=1))' > docs/metrics.schema.json

register: .venv/installed  ## Register two photographs: FIXED=file MOVING=file INTO=folder
	@$(BIN)/fundus register "$$FIXED" "$$MOVING" "$$INTO"

picture: book  ## Make the pictures of the pages again from the demo eye (needs chromium)
	$(BIN)/python docs/demo_picture.py
	$(BIN)/python docs/panel_picture.py
	$(BIN)/python docs/book_picture.py

clean:  ## Remove .venv and all caches; data and results stay
	rm -rf .venv .snakemake .pytest_cache .ruff_cache *.egg-info build
