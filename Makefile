# make up     set up what is needed and run the photo-sharing application; prints its address
# make down   stop it (its data stays)
# make test   set up what is needed and run every check
# make check  the same
# make setup  only set up
# make docs   write the generated pages of docs/reference anew
STACK := examples/photos/millions.toml
.PHONY: up down test check setup docs

up:
	@scripts/setup
	@.venv/bin/millions -C $(STACK) up --detach

down:
	@.venv/bin/millions -C $(STACK) down

test check:
	@scripts/setup --dev
	@scripts/check

setup:
	@scripts/setup --dev

docs:
	@.venv/bin/python scripts/reference.py
