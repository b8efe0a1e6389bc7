# make help lists what there is. Everything happens in .venv; nothing is installed elsewhere but system packages, as root.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

# The files that have tests with a marker: to import all the others takes longer than some stages' tests.
marked = $(shell grep -rl --include='test_*.py' 'mark[.]$(1)' tests)

# For each process that runs tests, of which two are busy: torch's threads wait for each other's by spinning.
half := OMP_NUM_THREADS=$$((($$(nproc) + 1) / 2))

REFERENCE := .venv-reference/.installed
site := import sysconfig; print(sysconfig.get_path("purelib"))

# Tests start hundreds of processes: none is to compile the same code again, whatever the shell says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup reference demo gallery test lint fast system parity test-exhaustive test-engine fuzz chaos bench bench-edges bench-images bench-engine bench-gpu bench-image-sizes bench-protocols bench-runtimes bench-delivery bench-dead-letters bench-working-set up clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*  ## /  make \1 #/p' Makefile | column -t -s '#'

setup: $(STAMP)  ## make .venv

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Python 3.11 or newer is needed; this is {v.major}.{v.minor}. Try: make setup PYTHON=python3.12")'
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && apt-get install -y -qq python3-venv; else echo "Python's venv module is missing; as root: apt-get install python3-venv" >&2; exit 1; fi
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev -c constraints.txt
	@touch $@

reference: $(REFERENCE)  ## make .venv-reference, which has the published package

# What both need, torch above all, is read from .venv: constraints.txt pins it to one version for both.
# What is installed here comes first, and pip puts here whatever .venv does not have at that version.
$(REFERENCE): $(STAMP) constraints.txt
	test -x .venv-reference/bin/python || $(BIN)/python -m venv .venv-reference
	$(BIN)/python -c '$(site)' >"$$(.venv-reference/bin/python -c '$(site)')/venv.pth"
	.venv-reference/bin/python -m pip install --quiet --disable-pip-version-check "pip>=25.1"
	.venv-reference/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --group transparent-background -c constraints.txt
	@touch $@

demo: setup  ## run the whole system on the photographs, write demo-out/
	./cutout demo

gallery: setup  ## render every effect of every photograph for two prints, write gallery-out/
	./cutout gallery

test: setup  ## everything that is checked
	@$(MAKE) --no-print-directory -j 2 lint reference
	@$(MAKE) --no-print-directory fast system parity

lint: setup
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-cache | tail -n 3
	$(BIN)/hadolint Dockerfile.api Dockerfile.worker

# Three at once on two cores, here and below: what one waits for, a fault's silence or an emulator, two overlap.
fast: setup
	$(half) $(BIN)/pytest -q -n 3 -m "not system and not parity and not exhaustive"

system: setup
	$(BIN)/pytest -q -n 3 --dist loadscope --no-loadscope-reorder -m "system and not exhaustive" $(call marked,system)

parity: setup reference
	$(half) $(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "parity and not exhaustive" $(call marked,parity)

test-exhaustive: setup  ## what make test shows, at length: more seeds, more sizes, every combination
	$(half) $(BIN)/pytest -q -n 2 -m "exhaustive and not parity and not system" $(call marked,exhaustive)
	$(BIN)/pytest -q -n 3 --dist loadscope -m "exhaustive and system" $(call marked,exhaustive)

test-engine: setup reference  ## our engine beside the published package: every seed, size and photo
	$(BIN)/pytest -q -m parity $(call marked,parity)

fuzz: setup  ## look for files that the gate has no verdict on, for 10 minutes
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group fuzz -c constraints.txt
	$(BIN)/python -m tests.hostile.fuzz 600

chaos: setup  ## meet every row of the fault matrix, 30 minutes, write bench/results/chaos.md
	$(BIN)/python -m tests.chaos

bench: setup  ## measure, write bench/results/
	$(BIN)/python -m bench

bench-images: setup reference  ## measure each stage of a picture, beside the obvious way
	$(BIN)/python -m bench --images

bench-edges: setup  ## measure what refined edges gain, on photos whose opacity is known
	$(BIN)/python -m bench --only edges

bench-engine: setup reference  ## measure our inference beside the published package
	$(BIN)/python -m bench --engine

bench-runtimes: setup reference  ## measure our inference beside the same network under OpenVINO
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group openvino -c constraints.txt
	$(BIN)/python -m bench --only runtimes

bench-gpu: setup reference  ## measure our inference beside the published package on a CUDA device, minutes
	$(BIN)/python -m bench.gpu

bench-image-sizes: setup  ## measure what the images hold, as root, with bubblewrap
	$(BIN)/python -m bench.image_sizes

bench-protocols: setup  ## measure over Google's clients: fake storage, real Pub/Sub emulator
	$(BIN)/python -m bench --protocols

bench-delivery: setup  ## measure a long queue and the sweep of many jobs, 15 minutes
	$(BIN)/python -m bench --delivery

bench-working-set: setup  ## measure how much memory a photo of 12, 24 and 48 megapixels takes
	$(BIN)/python -m bench.working_set

bench-dead-letters: setup  ## measure how fast a day's 10,000 dead letters are found, and in what memory
	$(BIN)/python -m bench.dead_letters

up: setup  ## run the system in the foreground
	./cutout up

clean:  ## remove what was made here, data included
	rm -rf .venv .venv-reference demo-out gallery-out .cutout .mypy_cache .pytest_cache .ruff_cache .hypothesis
