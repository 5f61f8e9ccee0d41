#!/usr/bin/env bash
# Runs the checks that are named (all without names), goes on after one that fails, and ends in one line for each.
# Their output is kept in build/. Make sets the environment: run it as `make test`, `make lint`, ...
set -uo pipefail
cd "$(dirname "$0")/.."
if [ -z "${RETICULATE_PYTHON:-}" ]; then
    echo "run this by make, which tells R where diglot is: make test, make lint, ..." >&2
    exit 2
fi
mkdir -p build
python=.venv/bin/python
# Set-up installed the Python side: where CI=true, an R test that misses it fails instead of being skipped.
export DIGLOT_EXPECT_PYTHON=true DIGLOT_SOURCES=$PWD NOT_CRAN=true
# And PyTorch, where pip could have it: then its tests must not be skipped.
if [ -f .venv/.with-torch ]; then export DIGLOT_EXPECT_TORCH=true; fi
names=("$@")
if [ $# = 0 ]; then names=(ruff lintr pytest mxnet2 check); fi

# Test files that run no network, or run one only to try something else: another MXNet changes nothing there.
without_engine='benchmarks|comparison.*|evaluation_.*|images_.*|captions_.*|captioner_captioned|datasets|package|plots'
without_engine+='|progress|r|setup_gpu|shapes|storage|uncertainty|weights_(hub|protobuf)'

run_ruff() { "$python" -m ruff check . && "$python" -m ruff format --check .; }

run_pytest() {
    # Without R, as after `make test-python`, the tests of diglot.r are skipped; with it they must not be.
    if [ -d .Rlib/diglot ]; then export DIGLOT_EXPECT_R=true; fi
    # -X: a crash at the very end, when pytest itself no longer looks, is told with where it was, too.
    "$python" -X faulthandler -m pytest
}

# Not among the checks that run without names: `make soak` asks for it, with DIGLOT_SOAK set.
run_soak() { "$python" -m pytest -s -p no:cacheprovider --durations=0 tests/durability; }

# The examples of the docstrings, what needs R and what never runs MXNet are tried in .venv/ alone.
run_mxnet2() {
    if [ ! -f .venv-mxnet2/.set-up ]; then
        echo "skipped: there is no wheel of MXNet 2.0 for this machine"
        return 0
    fi
    local half index files part jobs=() failed=0
    files=($(ls -S tests/python/test_*.py | grep -vxE "tests/python/test_($without_engine)\.py"))
    for half in 0 1; do # one on each core
        part=()
        for index in "${!files[@]}"; do
            if [ $((index % 2)) = $half ]; then part+=("${files[index]}"); fi
        done
        DIGLOT_EXPECT_TORCH=false OMP_NUM_THREADS=1 .venv-mxnet2/bin/python -m pytest -o addopts= -ra --strict-markers --durations=5 \
            -p no:cacheprovider "${part[@]}" >"build/mxnet2-$half.log" 2>&1 &
        jobs+=($!)
    done
    for half in 0 1; do
        wait "${jobs[half]}" || failed=1
        cat "build/mxnet2-$half.log"
    done
    return $failed
}

run_lintr() { Rscript --vanilla tools/lint.R; }

run_testthat() { (cd tests && Rscript --vanilla testthat.R); }

run_check() {
    local tree=build/r/diglot part parts=() log=build/r/diglot.Rcheck/00check.log
    rm -rf build/r && mkdir -p "$tree"
    # R CMD build copies a folder whole, .venv/ with it, before it leaves out anything: give it only the R package.
    for part in DESCRIPTION NAMESPACE NEWS.md README.md .Rbuildignore R data inst man python tests vignettes; do
        if [ -e "$part" ]; then parts+=("$part"); fi
    done
    tar -cf - --exclude=__pycache__ "${parts[@]}" | tar -xf - -C "$tree" || return 1
    (
        cd build/r &&
            R CMD build --no-manual diglot &&
            # The vignettes are rendered by build, and their code runs again in check.
            _R_CHECK_FORCE_SUGGESTS_=true _R_CHECK_SYSTEM_CLOCK_=0 R CMD check --no-manual diglot_*.tar.gz
    ) || {
        # What R CMD check only names is worth seeing at once.
        tail -n 60 build/r/diglot.Rcheck/00install.out build/r/diglot.Rcheck/tests/*.fail 2>/dev/null
        return 1
    }
    if ! grep -q '^Status:' "$log" || grep -qE '^Status:.*(ERROR|WARNING)' "$log"; then return 1; fi
}

python_counts() { # the closing lines of two halves, added up
    sed -nE 's/^=+ (.*) in [0-9.]+s.*/\1/p' "$@" 2>/dev/null | tr ',' '\n' |
        awk '{ n[$2] += $1 } END { for (word in n) { printf "%s%d %s", comma, n[word], word; comma = ", " } }'
}

r_counts() { # testthat's closing line, in words
    sed -nE 's/^\[ FAIL ([0-9]+) \| WARN ([0-9]+) \| SKIP ([0-9]+) \| PASS ([0-9]+) \].*/\4 passed, \1 failed, \3 skipped, \2 warnings/p' "$@" 2>/dev/null | tail -n 1
}

# What went wrong, said again at the end: of a log this long some only ever see that.
why_failed() { # a log
    local found
    found=$(
        grep -E '^(FAILED|ERROR) |terminate called|what\(\):|^[a-z_]+\(\): |free\(\)' "$1" | cut -c 1-300 | head -n 30
        sed -n '/^Fatal Python error/,$p' "$1" | head -n 50
    )
    if [ -n "$found" ]; then printf '%s\n' "$found"; else tail -n 40 "$1"; fi
}

failed=0
lines=()
broken=()
for name in "${names[@]}"; do
    printf '\n== %s\n' "$name"
    start=$SECONDS
    if "run_$name" 2>&1 | tee "build/$name.log"; then result=passed; else result=FAILED failed=1; fi
    if [ $result = FAILED ]; then broken+=("$name"); fi
    closing=
    case $name in
    pytest | soak) closing=$(tail -n 1 "build/$name.log" | sed 's/^=* *//; s/ *=*$//') ;;
    mxnet2)
        closing=$(python_counts build/mxnet2.log)
        if grep -q '^skipped: ' build/mxnet2.log; then result=skipped closing=$(sed -n 's/^skipped: //p' build/mxnet2.log); fi
        ;;
    testthat) closing=$(r_counts build/testthat.log) ;;
    check)
        output=$(ls build/r/diglot.Rcheck/tests/testthat.Rout build/r/diglot.Rcheck/tests/testthat.Rout.fail 2>/dev/null | head -n 1)
        cp "${output:-/dev/null}" build/testthat.log
        closing="$(r_counts build/testthat.log); R CMD check $(sed -n 's/^Status: /ended with: /p' build/check.log | tail -n 1)"
        ;;
    esac
    case $name in testthat | check)
        sed -n '/Skipped tests/,/^$/p' build/testthat.log # R CMD check keeps them to itself
        if [ -z "$(r_counts build/testthat.log)" ]; then
            echo "The R tests did not reach their end."
            result=FAILED failed=1
        fi
        ;;
    esac
    lines+=("$(printf '%-9s %-7s %4d s   %s' "$name" "$result" $((SECONDS - start)) "$closing")")
done

for name in ${broken[@]+"${broken[@]}"}; do
    printf '\n== %s failed\n' "$name"
    why_failed "build/$name.log"
done
printf '\n'
printf '%s\n' "${lines[@]}"
exit "$failed"
