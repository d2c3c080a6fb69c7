# make demo   train a network on real images, evaluate it, draw the report
# make test   lint, then run the whole suite
# make examples   train and evaluate the systems in examples/ (about 15 minutes each)
# All first set up .venv; PYTHON=python3.12 chooses the interpreter.

PYTHON ?= python3
# A relative path: the one to the checkout may have spaces in it.
RUN := .venv/bin/python
DIGITS := --dataset_name=digits --dataset_dir=demo/data --model_name=lenet

.PHONY: demo test lint clean examples

demo: .venv/ready
	$(RUN) download_and_convert_data.py --dataset_name=digits --dataset_dir=demo/data
	$(RUN) train_image_classifier.py $(DIGITS) --dataset_split_name=train \
	  --train_dir=demo/train --max_number_of_steps=1000 --batch_size=64 \
	  --optimizer=adam --opt_epsilon=1e-8 --learning_rate=0.001 \
	  --learning_rate_decay_type=polynomial --num_epochs_per_decay=45 \
	  --end_learning_rate=0.00001 --log_every_n_steps=100 --seed=3 \
	  --save_summaries_secs=1
	$(RUN) eval_image_classifier.py $(DIGITS) --dataset_split_name=test \
	  --checkpoint_path=demo/train --eval_dir=demo/eval
	.venv/bin/slim-zoo curves demo/train demo/eval --output=demo/learning_curves.png
	@echo "The report: demo/eval/report/report.html and report.png"

examples: .venv/ready
	$(RUN) -m examples.read_text train
	$(RUN) -m examples.read_text evaluate --output=demo/read_text/read.png
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[examples]'
	$(RUN) -m examples.optical_flow data
	$(RUN) -m examples.optical_flow train --mode=flow
	$(RUN) -m examples.optical_flow train --mode=middle
	$(RUN) -m examples.optical_flow evaluate --mode=flow \
	  --output=demo/optical_flow/flow.png
	$(RUN) -m examples.optical_flow evaluate --mode=middle \
	  --output=demo/optical_flow/middle.png

test: lint
	$(RUN) -m pytest -q -n auto --maxprocesses=4 --dist worksteal

lint: .venv/ready
	$(RUN) -m ruff check .

.venv/ready: pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(None if (3, 10) <= sys.version_info < (3, 14) \
	  else 'Python 3.10 to 3.13 is needed: make PYTHON=python3.12')"
	$(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch .venv/ready

clean:
	rm -rf .venv demo
