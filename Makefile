PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TFDS := .venv-tfds
RUN := runs/hc18
ARGS ?=

# the multi-centre benchmark's split if its file is there, else a split of our own
HC18_CONFIG = $(if $(wildcard $(addsuffix /landmarks/annotations/HC18/Head.csv,$(HC18) $(HC18)/..)),benchmark,examinations)

.PHONY: install demo test newer soak lint tfds beam hc18 unified bench clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.version_info < (3, 11) and \
		sys.exit(f"$(PYTHON) is Python {sys.version.split()[0]}, which is too old: add PYTHON=python3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

demo: install
	$(BIN)/fetal-jax demo $(ARGS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/shellcheck launch/*.sh .ci/*

# TFDS's own tests of the builders need TensorFlow; nothing else does, so they have their own environment
$(TFDS)/installed: pyproject.toml constraints-tfds.txt
	test -x $(TFDS)/bin/python || $(PYTHON) -m venv $(TFDS)
	$(TFDS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-tfds.txt -e '.[tfds]'
	touch $@

tfds: $(TFDS)/installed
	$(TFDS)/bin/python -m pytest -W default tfds_builders

# Apache Beam wants older packages than the rest: its own environment. cv2 draws the frames of the tests
BEAM := .venv-beam
$(BEAM)/installed: pyproject.toml constraints-beam.txt
	test -x $(BEAM)/bin/python || $(PYTHON) -m venv $(BEAM)
	$(BEAM)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-beam.txt -e '.[beam]' pytest opencv-python-headless
	touch $@

beam: $(BEAM)/installed
	$(BEAM)/bin/python -m pytest --noconftest -W default -m 'slow or not slow' tests/archive/test_beam.py

# files are dealt out to WORKERS processes whole and in order: the long ones of archive and cli come early
WORKERS ?= 2
test: lint tfds beam
	$(BIN)/python -m pytest -m 'not soak' -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# NumPy, SciPy and JAX are newer from Python 3.12 on (constraints.txt): types, and the rooms that compute, with those
NEWER := .venv-newer
newer:
	$(MAKE) install VENV=$(NEWER)
	$(NEWER)/bin/mypy
	$(NEWER)/bin/python -m pytest -n $(WORKERS) --dist loadfile $(addprefix tests/,biometry growth model inference outputs evaluation)

# hours: 5,000 wrapped heads, 2,000 corrupted files, 50 killed calls, trainings that are killed, stopped and damaged
soak: install
	$(BIN)/python -m pytest -m soak

hc18: install
	test -d "$(HC18)" || { echo "give HC18=DIR, the folder of HC18 (Zenodo record 1327317)"; exit 2; }
	$(BIN)/fetal-jax prepare hc18/$(HC18_CONFIG) --manual-dir $(HC18)
	$(BIN)/fetal-jax train --config=configs/hc18.py --workdir=$(RUN)/train --config.data.name=hc18/$(HC18_CONFIG) $(ARGS)
	$(BIN)/fetal-jax export --workdir=$(RUN)/train --out=$(RUN)/bundle
	$(BIN)/fetal-jax evaluate --workdir=$(RUN)/train --out=$(RUN)/report

# The shipped network: from SonoNet16's weights on synthetic frames and the thirteen frames of EXAMPLES (a folder with the
# example frames of SonoNet's repository, baumgach/SonoNet-weights), then on HC18 and on PLANES, the folder of
# FETAL_PLANES_DB. Five networks leave out a fold each; their mean is trained on all folds (configs/all_folds.py), and
# calibrated on what each of the five has not seen.
UNIFIED := runs/unified
FOLDS := 0 1 2 3 4
SETS := --dataset=hc18/benchmark --dataset=fetal_planes/outlines --dataset=fetal_phantom/large
unified: install
	test -d "$(HC18)" || { echo "give HC18=DIR, the folder of HC18 (Zenodo record 1327317)"; exit 2; }
	test -f "$(EXAMPLES)/FEMUR.png" || { echo "give EXAMPLES=DIR, the thirteen frames of baumgach/SonoNet-weights"; exit 2; }
	test -f "$(SONONET)" || { echo "give SONONET=FILE, SonoNet16.npz of baumgach/SonoNet-weights"; exit 2; }
	test -d "$(PLANES)/Images" || { echo "give PLANES=DIR, the folder of FETAL_PLANES_DB"; exit 2; }
	mkdir -p $(UNIFIED)/examples
	cp $(EXAMPLES)/*.png $(UNIFIED)/examples
	cp configs/sononet_examples.csv $(UNIFIED)/examples/frames.csv
	$(BIN)/fetal-jax prepare hc18/benchmark --manual-dir $(HC18)
	$(BIN)/fetal-jax prepare fetal_planes/outlines --manual-dir $(PLANES)
	$(BIN)/fetal-jax prepare fetal_phantom/large
	$(BIN)/fetal-jax prepare folder/sononet --allow-partial --manual-dir $(UNIFIED)/examples
	$(BIN)/fetal-jax train --config=configs/unified.py --workdir=$(UNIFIED)/start --config.init.sononet=$(SONONET) $(ARGS)
	$(BIN)/fetal-jax export --workdir=$(UNIFIED)/start --out=$(UNIFIED)/start-bundle
	for fold in $(FOLDS); do \
		$(BIN)/fetal-jax train --config=configs/routine.py --workdir=$(UNIFIED)/whole$$fold \
			--config.init.bundle=$(UNIFIED)/start-bundle --config.data.leave_out=$$fold $(ARGS) && \
		$(BIN)/fetal-jax export --workdir=$(UNIFIED)/whole$$fold --out=$(UNIFIED)/whole$$fold-bundle && \
		$(BIN)/fetal-jax train --config=configs/close_ups.py --workdir=$(UNIFIED)/fold$$fold \
			--config.init.bundle=$(UNIFIED)/whole$$fold-bundle --config.data.leave_out=$$fold $(ARGS) && \
		$(BIN)/fetal-jax export --workdir=$(UNIFIED)/fold$$fold --out=$(UNIFIED)/fold$$fold-bundle || exit; \
	done
	$(BIN)/fetal-jax export $(FOLDS:%=--workdir=$(UNIFIED)/fold%) --out=$(UNIFIED)/mean-bundle
	$(BIN)/fetal-jax train --config=configs/all_folds.py --workdir=$(UNIFIED)/all \
		--config.init.bundle=$(UNIFIED)/mean-bundle $(ARGS)
	$(BIN)/fetal-jax export --workdir=$(UNIFIED)/all --out=$(UNIFIED)/all-bundle
	$(BIN)/fetal-jax train --config=configs/all_folds.py --workdir=$(UNIFIED)/longer --config.total_steps=6000 \
		--config.init.bundle=$(UNIFIED)/all-bundle $(ARGS)
	test -f $(UNIFIED)/bundle/bundle.json || $(BIN)/fetal-jax export --workdir=$(UNIFIED)/longer --out=$(UNIFIED)/bundle
	$(BIN)/fetal-jax evaluate --bundle=$(UNIFIED)/bundle --calibrate $(FOLDS:%=--fold=$(UNIFIED)/fold%-bundle) \
		$(SETS) --out=$(UNIFIED)/report

# every speed of the README beside other programs', which have their own environment; on HC18's frames with HC18=DIR
bench: install .venv-bench/installed
	$(BIN)/python benchmarks/bench.py $(if $(HC18),--hc18 $(HC18)) $(if $(QUICK),--quick) $(ARGS)

.venv-bench/installed: pyproject.toml
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	touch $@

clean:
	rm -rf runs
