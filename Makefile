# make demo | test | test-all | lint | docs | bench | clean: each sets up .venv by itself. Another interpreter: make PYTHON=python3.12 demo
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
WORKERS ?= 2

.PHONY: demo test test-all lint docs bench clean
.DELETE_ON_ERROR:

demo: $(INSTALLED) ## name a few shapes and the things in a scan, draw a textured one in colour, write pictures to demo-out/
	$(BIN)/basrelief classify examples/shapes --labels examples/labels.txt --top 3 --picture demo-out/seen.png
	$(BIN)/basrelief detect examples/scans/room.ply --labels "chair,table,sofa,lamp,bookshelf,monitor,trash can,potted plant" --top 6 -o demo-out/room.html
	$(BIN)/basrelief render examples/shapes-colour/globe.glb --projection shaded -o demo-out/colour.png
	@echo "what the model was shown, and what each view says alone: demo-out/seen-*.png; the scan with its boxes: demo-out/room.html; a texture in colour: demo-out/colour.png"

test: lint ## the quick tests: at least one of every capability
	@$(BIN)/python -m pytest -q -n $(WORKERS)

test-all: lint ## slow tests, too: whole trainings, killed processes, the page's hostile names, every attack
	@$(BIN)/python -m pytest -q -n $(WORKERS) -m "not gpu and not network" --hypothesis-profile thorough
	@$(BIN)/python tools/attack

lint: $(INSTALLED) ## style, types, layers, code measures
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/python tools/measures.py
	@$(BIN)/python tools/limits_table.py --check || (echo "SECURITY.md: run python tools/limits_table.py" && exit 1)

docs: $(INSTALLED) ## build the documentation into site/; a broken link or an output that changed fails
	@$(BIN)/python -m pytest -q -n $(WORKERS) -m "not network" $(patsubst %,tests/project/test_%.py,docs docstrings facts readme)
	@$(BIN)/sphinx-build -q -W --keep-going -b html docs site
	@echo "documentation: site/index.html"

bench: $(INSTALLED) ## time rendering and encoding
	@for script in benchmarks/*.py; do GOMP_SPINCOUNT=10000 $(BIN)/python $$script || exit 1; done

clean:
	rm -rf .venv demo-out bench-out attack-out site docs/reference dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("basrelief needs Python 3.11 or newer, but %s is %d.%d. Name another: make PYTHON=python3.12" % (sys.executable, v[0], v[1]))'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv, once"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,lidar,draco,cad,usd,fast,openvino,generate,index,app,train]'
	@touch $@
