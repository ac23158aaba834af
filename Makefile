# `make demo`, `make test`, `make test-all`, `make fuzz`, `make android` and `make app-models` set up what they need in .venv and run it.
PYTHON ?= python3
BIN := .venv/bin

ANDROID := PYTHON=$(CURDIR)/$(BIN)/python TFI2I_ANDROID_MODELS=$(CURDIR)/android_demo/build/models

# Where it is set, every process of the tests would compile TensorFlow's 1,800 files anew.
unexport PYTHONDONTWRITEBYTECODE

# Processes that test files are spread over; each takes up to 3 GB.
JOBS ?= 2
PYTEST := $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-all fuzz lint android app-models clean
demo: .venv/ready
	$(BIN)/tfi2i demo --out demo

test: .venv/ready lint
	$(PYTEST) -m 'not slow'

test-all: .venv/ready lint
	$(PYTEST)

# Mutated files, hostile servers and broken disks, with fresh seeds; TARGET and SEED try a case again.
MINUTES ?= 30
fuzz: .venv/ready
	$(BIN)/python tests/fuzz --minutes $(MINUTES) $(if $(TARGET),--target '$(TARGET)') $(if $(SEED),--seed $(SEED))

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Without --no-compile pip takes half a minute to compile files of which most are never imported.
.venv/ready: pyproject.toml
	$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 14), "tfi2i needs Python 3.11 to 3.13; name one with make PYTHON=python3.11"'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[dev]'
	touch $@

# The app and the page, without Gradle; needs JDK 17, Maven, Node and gcc, and downloads 400 MB once.
android: .venv/ready
	$(ANDROID) android_demo/ci/web.sh
	$(ANDROID) android_demo/ci/jvm.sh
	$(ANDROID) android_demo/inference/host/tflite.sh
	$(ANDROID) android_demo/ci/apk.sh

# A first pair of models for the app, trained on the embedded pictures in minutes.
app-models: .venv/ready
	$(BIN)/tfi2i demo --out demo
	run=$$(ls -d demo/*-nicegan-demo | tail -1) && for direction in a2b b2a; do \
	  $(BIN)/tfi2i export $$run --direction $$direction --overwrite --to android_demo || exit; done

clean:
	rm -rf .venv build dist android_demo/build .pytest_cache .mypy_cache .ruff_cache
