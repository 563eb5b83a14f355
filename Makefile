# make run · make build · make test · make test-all · make check · make bench
#
# Everything works from a fresh clone; bin/setup installs what is missing, and says so.

# The applications that the tests serve are written in UTF-8; a bare environment would have Ruby read them as US-ASCII.
export LANG ?= C.UTF-8

TARGET  := $(or $(CARGO_TARGET_DIR),target)
RELEASE := $(TARGET)/release
RUBYLIB_DIR := $(RELEASE)/rubylib
ADDRESS ?= 127.0.0.1:8080

.PHONY: all run setup build extension test check fmt clippy doc ruby-syntax rubocop tidy fuzz-check audit unit doctest minitest minitest-gc test-ruby33 test-ruby34 test-all test-arm64 test-arm64-built deb kubernetes workflows dist dist-again test-dist bench bench-debian-12 bench-here site screenshots casts clean

all: build

# Serves the example and says how to reload it.
run: setup build
	@echo
	@echo "  Serving examples/config.ru on http://$(ADDRESS)/ (stop: Ctrl-C)"
	@echo
	@echo "  In another terminal:"
	@echo "    curl http://$(ADDRESS)/                                          who answers: pid, worker, generation"
	@echo "    $(RELEASE)/licorne reload --wait --pid-file examples/tmp/licorne.pid   new code, no lost request"
	@echo "    kill -HUP \$$(cat examples/tmp/licorne.pid)                           the same, as Unicorn has it"
	@echo "    $(RELEASE)/licorne status --pid-file examples/tmp/licorne.pid"
	@echo
	@mkdir -p examples/tmp
	cd examples && exec "$(abspath $(RELEASE))/licorne" -c config/licorne.rb -l $(ADDRESS) config.ru

setup:
	@bin/setup

# Leaves target/release/licorne runnable in place: it finds the extension in rubylib/ beside itself, and Ruby's files in
# gem/ above itself, by a link where the target directory is elsewhere.
build:
	cargo build --release --locked -p licorne -p licorne_ext
	$(IN_PLACE)

define IN_PLACE
@mkdir -p $(RUBYLIB_DIR)/licorne
@ln -sfn ../../liblicorne_ext.so $(RUBYLIB_DIR)/licorne/licorne_ext.so
@[ -e $(RELEASE)/../../gem/lib ] || ln -sfn "$(CURDIR)/gem" $(TARGET)/gem
endef

# For another Ruby: the program knows none, only the extension is compiled for one.
extension:
	cargo build --release --locked -p licorne_ext
	$(IN_PLACE)

# The extension for the Ruby of another Debian, and the program beside it.
define IN_DEBIAN
CARGO_PROFILE_RELEASE_LTO=off bin/$(1) make --no-print-directory extension
install -D $(RELEASE)/licorne $(TARGET)/$(1)/release/licorne
endef

# nextest comes last: its summary is the line to look at.
test: setup build doctest
	@$(MAKE) --no-print-directory -j2 --output-sync=target minitest minitest-gc
	@$(MAKE) --no-print-directory test-ruby33 test-ruby34 unit
	@echo "make test: everything passed"

# Every Rust test: the cores' own, and the real processes of tests/ (LICORNE_BIN names the program that they start), but
# for those of packages, which `deb` builds first. Two more at once than there are processors: those of the
# group `patient` only wait.
unit:
	LICORNE_BIN="$(abspath $(RELEASE))/licorne" cargo nextest run --locked --workspace -E 'not binary(packages)' \
	  --profile $(or $(NEXTEST_PROFILE),default) --test-threads $$(($$(nproc) + 2))

doctest:
	cargo test --doc --locked --workspace --exclude licorne_ext

minitest:
	@ruby -Igem/lib -I$(RUBYLIB_DIR) -Igem/test -e 'Dir["gem/test/**/*_test.rb"].sort.each { |f| require File.expand_path(f) }'

# What holds Ruby's objects, with all objects moved in each request and all references looked at afterwards; and, since
# that is slow, some of it with a collection at each allocation. Half a minute. Each line is a part of its file: Ruby 3.1
# itself loses dynamic symbols in a child whose parent has made many and that compacts (it also does without the
# extension), and ends with "can't remove str from str_id".
NATIVE_TEST := ruby -Igem/lib -I$(RUBYLIB_DIR) -Igem/test
minitest-gc:
	@LICORNE_TEST_GC=compact $(NATIVE_TEST) gem/test/native_response_test.rb -n '/hijack/'
	@LICORNE_TEST_GC=compact $(NATIVE_TEST) gem/test/native_response_test.rb -n '/chunk|status|error|field|close|pieces/'
	@LICORNE_TEST_GC=compact $(NATIVE_TEST) gem/test/native_input_test.rb
	@LICORNE_TEST_GC=stress $(NATIVE_TEST) gem/test/native_response_test.rb -n '/thread|block|kept|chunk/'
	@LICORNE_TEST_GC=stress $(NATIVE_TEST) gem/test/native_input_test.rb -n '/kept|class/'

# The same promises with Ruby 3.3, Rack 3.1 and Rails 7.2, in Debian 13: the extension is built there, the tests are run
# there. What does not depend on Ruby (long loads, the command line, Debian 12's Unicorn beside it) is left to `unit`,
# and more of what hardly does to `test-all`.
RUNNER := CARGO_TARGET_$(shell rustc -vV | sed -n 's/^host: //p' | tr a-z- A-Z_)_RUNNER
RUBY33_TESTS ?= binary(lifecycle) & test(/^(boot|gc|reload)::/) - test(/under_load/) \
  | binary(http) & test(/^(rack|rails)/) - test(/foreman/) | binary(operation) & test(/^ruby_api::/)
test-ruby33: build
	$(call IN_DEBIAN,debian-13)
	bin/debian-13 make --no-print-directory -j2 --output-sync=target minitest minitest-gc
	$(RUNNER)="$(abspath bin/debian-13)" cargo nextest run --locked -p testkit \
	  --profile $(or $(NEXTEST_PROFILE),default) -E '$(RUBY33_TESTS)'

# The same with Ruby 3.4 and Rack 3.2, in the Debian after 13. Rails needs gems that are built for a Ruby, which Debian
# has for its 3.3 alone.
RUBY34_TESTS ?= binary(lifecycle) & test(/^(boot|gc|reload|warm_up)::/) - test(/under_load|rails/) \
  | binary(http) & test(/^(rack|rack_spec)::/) | binary(operation) & test(/^ruby_api::/)
test-ruby34: build
	$(call IN_DEBIAN,debian-forky)
	bin/debian-forky make --no-print-directory minitest
	$(RUNNER)="$(abspath bin/debian-forky)" cargo nextest run --locked -p testkit \
	  --profile $(or $(NEXTEST_PROFILE),default) -E '$(RUBY34_TESTS)'

# Debian's packages: built in forky with Debian's own Rust and without a network, looked at by lintian, then installed,
# upgraded and removed on a bare forky that a systemd of its own has booted.
DEBIAN := $(abspath $(TARGET))/debian-package
deb:
	bin/debian-source "$(DEBIAN)"
	bin/debian-package env -i HOME=/root LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
	  unshare --net bin/debian-build "$(DEBIAN)"
	LICORNE_DEBS="$(DEBIAN)" $(RUNNER)="$(abspath bin/debian-bare)" cargo nextest run --locked -p testkit \
	  --profile $(or $(NEXTEST_PROFILE),default) -E 'binary(packages)'

# deploy/kubernetes against the published schemas, which come from PyPI.
kubernetes:
	@bin/kubernetes-check

# .github and deploy/github against GitHub's schema, and for what would make them attackable.
workflows:
	@bin/workflows-check

# What takes longer: packages, storms of ten minutes, a minute of each fuzz target, all rounds of what fails at random if
# it fails, the gem for arm64, more of the promises with Ruby 3.3, but for one that starts a real Unicorn, which is not
# there. `bin/fuzz 600` is a long run.
test-all: export LICORNE_TEST_ROUNDS = all
test-all: test deb kubernetes workflows
	bin/fuzz 60
	$(MAKE) test-dist test-arm64-built
	$(MAKE) test-ruby33 RUBY33_TESTS='binary(lifecycle) & test(/^(upgrade|in_place|signals|deaths|recipes|refork)::/) - test(is_not_fit_to_take_over)'
	LICORNE_STORM_SECONDS=600 LICORNE_BIN="$(abspath $(RELEASE))/licorne" \
	  cargo test --locked -p testkit --test lifecycle -- --test-threads 1 --nocapture storm::
	@echo "make test-all: everything passed"

# What a release consists of, in pkg/: gems, crates, a list of components, checksums. A quarter of an hour the first time.
dist:
	bin/dist

# The same once more, in another directory: the checksums are the same.
dist-again:
	bin/dist-again

# Installs what `dist` has built where there is nothing else: three Debians with Ruby and without a compiler, and an image.
test-dist: dist
	bin/sbom-check
	for suite in bookworm trixie forky; do bin/bare-debian $$suite true || exit 1; done
	bin/debian-slim trixie true
	LICORNE_BIN="$(abspath $(RELEASE))/licorne" cargo nextest run --locked -p testkit --test dist --ignore-default-filter \
	  -E 'not test(/::emulated::/)'

# The gem for arm64, by qemu: installed, and its program in Debian 13 with what of the tests qemu can do, of which
# .config/nextest.toml has the list and docs/releasing.md the rest.
ARM64 := $(abspath $(TARGET))/debian-arm64-13
test-arm64:
	bin/dist arm64
	@$(MAKE) --no-print-directory test-arm64-built

test-arm64-built:
	install -D target/dist/gem-arm64/gem/libexec/licorne "$(ARM64)/release/licorne"
	install -D target/dist/gem-arm64/gem/lib/licorne/3.3/licorne_ext.so "$(ARM64)/release/rubylib/licorne/licorne_ext.so"
	ln -sfn "$(CURDIR)/gem" "$(ARM64)/gem"
	LICORNE_BIN="$(ARM64)/release/licorne" LICORNE_TEST_PATIENCE=180 \
	  cargo nextest run --locked -p testkit --test dist --ignore-default-filter -E 'test(/::emulated::/)'
	LICORNE_TEST_PATIENCE=180 $(RUNNER)="$(abspath bin/debian-arm64-13)" \
	  cargo nextest run --locked -p testkit --profile arm64 --test-threads $$(($$(nproc) + 2))

check: fmt clippy doc ruby-syntax rubocop tidy site fuzz-check
	@echo "make check: everything passed"

fmt:
	cargo fmt --all --check

clippy:
	cargo clippy --locked --workspace --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

# `ruby -wc` on each file: syntax errors and warnings alike are failures.
ruby-syntax:
	@bin/ruby-syntax

# The rules are in .rubocop.yml. Some seconds, and twenty where RuboCop has no cache yet.
rubocop:
	@rubocop --format quiet
	@echo "rubocop: every Ruby file is in order"

# The house rules that an ordinary test can check.
tidy:
	cargo nextest run --locked -p testkit --test tidy

# docs/ as a site with a search, in target/site; each of its links is followed.
site:
	@bin/site

# The fuzz targets are run by `test-all` alone, but they always compile.
fuzz-check:
	cargo check --locked --manifest-path fuzz/Cargo.toml --target-dir $(TARGET)/fuzz

# What the dependencies are (deny.toml): licences, sources, banned crates, then known vulnerabilities, which needs a
# network. Not a part of `check`: compiling cargo-deny takes eight minutes of processor time.
audit:
	@cargo deny --version >/dev/null 2>&1 || { \
	  echo "make audit: installing cargo-deny (cargo install, some minutes)"; cargo install cargo-deny --locked; }
	cargo fetch --locked
	cargo deny --offline check licenses bans sources
	cargo deny check advisories

# Beside today's peers, in the Debian after 13: with Debian's Ruby 3.3, whose gems and servers are built, and where it is
# said with 3.4. Half an hour and more; `make bench SCENARIOS="memory hello"`, BENCH_ROUNDS and BENCH_SECONDS make it less.
PEERS_PATH := env PATH=$(or $(CARGO_HOME),$(HOME)/.cargo)/bin:/usr/bin:/bin:/usr/sbin:/sbin
bench: export LICORNE_BIN_34 = $(abspath $(TARGET))/debian-peers/release/licorne
bench:
	bin/debian-peers make --no-print-directory build
	CARGO_TARGET_DIR="$(abspath $(TARGET))/ruby-3.3/debian-peers" bin/debian-peers $(PEERS_PATH) \
	  make --no-print-directory bench-here

# Beside the peers of the Debian that this is (Debian 12: Puma 5, Unicorn 6.0).
bench-debian-12: setup bench-here

bench-here: build
	cargo build --release --locked -p bench
	LICORNE_BIN="$(abspath $(RELEASE))/licorne" setsid --wait $(RELEASE)/bench $(SCENARIOS)

# The pictures of the page in docs/images, of a real server in Chromium. Some minutes.
screenshots: build
	LICORNE_BIN="$(abspath $(RELEASE))/licorne" cargo run --locked --release -p bench --bin screenshots

# The recorded sessions in docs/casts, of a real server on port 8080. Two minutes.
casts: build
	@LICORNE_BIN="$(abspath $(RELEASE))/licorne" bin/casts

clean:
	cargo clean
