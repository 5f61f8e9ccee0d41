#!/usr/bin/env bash
# Installs what diglot needs and the machine lacks; says what it does; does nothing, quickly, when all is there.
#
#   tools/setup.sh            R packages (from Debian or Ubuntu), Python packages (into .venv/)
#   tools/setup.sh --python   the Python side alone; never needs root where a Python that fits is installed
#   tools/setup.sh --mxnet2   beside .venv/, which must be there: the Python side on MXNet 2.0 (into .venv-mxnet2/)
#
# PYTHON=/path/to/python3.11 chooses the Python. DIGLOT_TORCH=none leaves PyTorch out, which is there for tests. Nothing outside this folder changes but packages of the distribution.
set -euo pipefail
cd "$(dirname "$0")/.."

mode=full
case "${1:-}" in
"") ;;
--python) mode=python ;;
--mxnet2) mode=mxnet2 ;;
*)
    echo "usage: tools/setup.sh [--python | --mxnet2]" >&2
    exit 2
    ;;
esac

say() { printf 'set-up: %s\n' "$*"; }
stop() {
    printf '\nset-up stopped: %s\n' "$*" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# ---- Nothing to do? The stamp holds what the last set-up was made from and for.

library=$PWD/.Rlib
export R_LIBS="$library${R_LIBS:+:$R_LIBS}"
r_version() { have R && R --version 2>/dev/null | sed -n '1s/^R version \([0-9.]*\).*/\1/p' || true; }

key() {
    # The folder counts too: a virtual environment does not survive a move. So does R: rpy2 is built for one.
    printf '%s\n' "$PWD" "$(r_version)"
    # And whether PyTorch is wanted, and where pip was told to look for it.
    printf '%s\n' "${DIGLOT_TORCH:-}" "${PIP_INDEX_URL:-}" "${PIP_EXTRA_INDEX_URL:-}"
    cat pyproject.toml tools/setup.sh
    if [ -f DESCRIPTION ]; then cat DESCRIPTION; fi
}
checksum=$(key | sha256sum | cut -d' ' -f1)

# ---- The second environment: only tests use it. It needs nothing of the distribution that .venv/ did not.

if [ $mode = mxnet2 ]; then
    mxnet2=mxnet==2.0.0b1
    home=.venv-mxnet2
    if $home/bin/python -c '' 2>/dev/null && [ "$(cat $home/.set-up 2>/dev/null)" = "$checksum" ]; then exit 0; fi
    .venv/bin/python -c '' 2>/dev/null || stop "the second environment is made beside .venv/: first make setup-python"
    if ! $home/bin/python -c '' 2>/dev/null; then
        say "making $home/ for tests on MXNet 2.0"
        .venv/bin/python -m venv --clear $home
        $home/bin/python -m pip install --quiet --disable-pip-version-check 'pip>=23'
    fi
    say "installing Python packages with $mxnet2 into $home/ (some minutes the first time)"
    if ! message=$($home/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: $mxnet2 2>&1); then
        printf '%s\n' "$message" >&2
        case "$(uname -s) $(uname -m)" in
        "Linux x86_64") stop "pip could not install $mxnet2; its own message is above." ;;
        esac
        say "there is no wheel of $mxnet2 for $(uname -s) on $(uname -m): its tests are skipped"
        rm -f $home/.set-up
        exit 0
    fi
    # Both lines are tried with the same versions of all else: those that .venv/ has.
    .venv/bin/python -m pip list --format=freeze --exclude-editable | grep -vE '^(mxnet|torch)' >$home/constraints.txt
    $home/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test]' $mxnet2 --constraint $home/constraints.txt ||
        stop "pip could not install diglot's Python side with $mxnet2; its own message is above."
    printf '%s\n' "$checksum" >$home/.set-up
    say "ready"
    exit 0
fi

done_before() { [ "$(cat ".venv/.set-up-$1" 2>/dev/null)" = "$checksum" ]; }
base() { "$1" -c 'import sys; print(sys.base_prefix, sys.version_info)' 2>/dev/null || echo none; }
chosen() { [ -z "${PYTHON:-}" ] || [ "$(base "$PYTHON")" = "$(base .venv/bin/python)" ]; } # .venv/ is made with it?
if .venv/bin/python -c '' 2>/dev/null && chosen && { done_before full || { [ $mode = python ] && done_before python; }; }; then
    exit 0
fi

# ---- Packages of the distribution

root=false
if [ "$(id -u)" = 0 ]; then root=true; fi
refreshed=false
refresh() { # the distribution's lists of packages, once
    if $root && ! $refreshed; then
        say "refreshing the list of packages (apt-get update)"
        apt-get update -qq >/dev/null || say "apt-get update had errors; going on with the lists that are there"
        refreshed=true
    fi
}
offered() { # does the distribution have this package?
    refresh
    # Where the lists were never fetched and cannot be, all that Debian has is taken to be there.
    if [ -z "$(apt-cache show --no-all-versions r-base-core 2>/dev/null)" ]; then return 0; fi
    [ -n "$(apt-cache show --no-all-versions "$1" 2>/dev/null)" ]
}
installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

wanted=() # what has to come from the distribution
from_cran=()
needs_r() {
    # The packages that DESCRIPTION names, and two that only developers use; those that come with R drop out.
    {
        if [ -f DESCRIPTION ]; then
            awk '/^[A-Za-z\/]+:/ { field = $1 } field ~ /^(Depends|Imports|Suggests):$/ { sub(/^[A-Za-z]+:/, ""); print }' DESCRIPTION |
                sed 's/([^)]*)//g' | tr ',' '\n' | tr -d ' \t'
        fi
        printf '%s\n' lintr roxygen2
    } | grep -vxE '|R|base|compiler|datasets|grDevices|graphics|grid|methods|parallel|splines|stats|stats4|tcltk|tools|utils' | sort -u
}
collect_r() {
    local package name missing distribution=false
    if have Rscript; then
        missing=$(needs_r | Rscript --vanilla -e 'need <- readLines(file("stdin"))
            cat(need[!nzchar(vapply(need, function(p) system.file(package = p), ""))], sep = "\n")')
    else
        missing=$(needs_r)
        wanted+=(r-base-core)
    fi
    # R's packages of the distribution belong to R of the distribution; another R takes them from CRAN.
    if have apt-get && { ! have Rscript || dpkg -S "$(readlink -f "$(command -v Rscript)")" >/dev/null 2>&1; }; then
        distribution=true
    fi
    for package in $missing; do
        name=r-cran-$(printf %s "$package" | tr '[:upper:]' '[:lower:]')
        if $distribution && offered "$name"; then wanted+=("$name"); else from_cran+=("$package"); fi
    done
    have pandoc || wanted+=(pandoc) # renders the vignettes
    have qpdf || wanted+=(qpdf)     # R CMD check asks for it
    if $distribution && ! installed r-base-dev; then wanted+=(r-base-dev); fi # builds rpy2
}

# ---- A Python that fits: its version is one that diglot takes, it can make virtual environments, and it
# ---- comes with a shared library, since R (reticulate) loads Python as a library.

fits() {
    "$1" - <<'END' 2>/dev/null
import glob, os, re, sys, sysconfig
low, high = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', open("pyproject.toml").read()).groups()
if not (3, int(low)) <= sys.version_info[:2] < (3, int(high)) or sys.maxsize < 2**32:
    sys.exit(3)
try:
    import ensurepip, venv
except ImportError:
    sys.exit(4)
where = [sysconfig.get_config_var(name) or "" for name in ("LIBDIR", "LIBPL")]
where.append(os.path.join(where[0], sysconfig.get_config_var("MULTIARCH") or ""))
name = "libpython%d.%d" % sys.version_info[:2]
if not any(glob.glob(os.path.join(folder, name + end)) for folder in where for end in (".so*", ".dylib")):
    sys.exit(5)
END
}
python=
rejected=
find_python() {
    local candidate path code
    rejected=
    for candidate in ${PYTHON:-.venv/bin/python python3 python3.12 python3.11 python3.10 /usr/bin/python3}; do
        path=$(command -v "$candidate" || true)
        if [ -z "$path" ] || [[ $rejected == *"  $path: "* ]]; then continue; fi
        code=0
        fits "$path" || code=$?
        case $code in
        0)
            python=$path
            return 0
            ;;
        3) rejected+="  $path: $("$path" --version 2>&1) (3.10 to 3.12 is needed)"$'\n' ;;
        4) rejected+="  $path: cannot make virtual environments (on Debian: python3-venv)"$'\n' ;;
        5) rejected+="  $path: has no shared library, which R needs (build it with --enable-shared)"$'\n' ;;
        *) rejected+="  $path: does not run"$'\n' ;;
        esac
    done
    return 1
}
collect_python() {
    local version
    if ! find_python && [ -z "${PYTHON:-}" ] && have apt-get; then
        refresh
        version=$(apt-cache show --no-all-versions python3 2>/dev/null | sed -n 's/^Version: \(3\.[0-9]*\).*/\1/p')
        for version in $version 3.12 3.11 3.10; do
            case $version in 3.10 | 3.11 | 3.12) ;; *) continue ;; esac
            if offered "python$version-venv"; then
                wanted+=("python$version" "python$version-venv" "python$version-dev")
                return
            fi
        done
        # None that fits: uv will fetch one, and pip brings uv.
        if ! have uv && ! python3 -c 'import ensurepip' 2>/dev/null; then wanted+=(python3 python3-venv); fi
    elif [ -n "$python" ] && [ $mode = full ] && have apt-get &&
        ! "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        case $(readlink -f "$python") in /usr/bin/*) wanted+=("python$version-dev") ;; esac # builds rpy2
    fi
}

collect_python
if [ $mode = full ]; then collect_r; fi
# MXNet's library needs OpenMP's, which a bare machine lacks.
if have dpkg-query && ! installed libgomp1; then wanted+=(libgomp1); fi

if [ ${#wanted[@]} -gt 0 ]; then
    if ! have apt-get; then
        stop "this machine has no apt-get. Install by its own means: ${wanted[*]} (names as on Debian), then run this again."
    fi
    if ! $root; then
        hint=
        if [ $mode = full ]; then hint="
Without R, the Python side can go on: make setup-python test-python"; fi
        stop "what follows is missing, and installing it needs root. Run

  sudo sh -c 'apt-get update && apt-get install --yes --no-install-recommends ${wanted[*]}'

and then the same make command again.$hint"
    fi
    refresh
    say "installing from the distribution: ${wanted[*]}"
    log=$(mktemp)
    if ! DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends -qq "${wanted[@]}" >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        stop "apt-get could not install ${wanted[*]}; its own message is above."
    fi
    rm -f "$log"
    hash -r
fi

if [ ${#from_cran[@]} -gt 0 ]; then
    say "installing from CRAN into .Rlib/, since the distribution lacks them: ${from_cran[*]}"
    mkdir -p "$library"
    Rscript --vanilla -e 'packages <- commandArgs(TRUE)
        if (identical(unname(getOption("repos")["CRAN"]), "@CRAN@")) utils::chooseCRANmirror(ind = 1)
        utils::install.packages(packages[-1], lib = packages[1], quiet = TRUE)
        lost <- packages[-1][!nzchar(vapply(packages[-1], function(p) system.file(package = p), ""))]
        if (length(lost)) stop("not installed: ", toString(lost), call. = FALSE)' "$library" "${from_cran[@]}" </dev/null ||
        stop "R could not install ${from_cran[*]}; its own message is above."
fi

# ---- Python packages, into .venv/

if [ -z "$python" ] && ! find_python; then
    # The distribution's Python is too new or too old: uv, which pip installs, brings one of its own.
    if [ -z "${PYTHON:-}" ] && { have uv || have python3; }; then
        say "no Python from 3.10 to 3.12 here; fetching one into .python/ with uv"
        if ! have uv; then
            python3 -m venv .python/uv && .python/uv/bin/pip install --quiet uv && PATH=$PWD/.python/uv/bin:$PATH || true
        fi
        export UV_PYTHON_INSTALL_DIR=$PWD/.python
        if have uv && uv python install 3.12; then PYTHON=$(uv python find --managed-python 3.12) find_python || true; fi
    fi
    if [ -z "$python" ]; then
        stop "diglot needs a Python from 3.10 to 3.12 that R can load. Found:
${rejected:-  none
}Install one and name it: make setup PYTHON=/path/to/python3.12"
    fi
fi

if ! fits .venv/bin/python || ! chosen; then
    say "making .venv/ with $("$python" --version) ($python)"
    "$python" -m venv --clear .venv
    # An older pip neither knows all wheels nor installs editable without a setup.py.
    .venv/bin/python -m pip install --quiet --disable-pip-version-check 'pip>=23'
fi
extras=test
pins=()
if have R; then
    extras=test,r
    case $(r_version) in
    [0-3].* | 4.[0-4].*) pins=('rpy2<3.6') ;; # 3.6 asks R for functions that 4.5 brought
    esac
fi
say "installing Python packages into .venv/ (some minutes the first time)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[$extras]" ${pins[@]+"${pins[@]}"} ||
    stop "pip could not install diglot's Python side; its own message is above."

# ---- PyTorch, by which tests hold the second engine against MXNet. Not the build that pip takes by itself on Linux, which
# ---- brings gigabytes of CUDA along: the one for the CPU has a name that the package index does not know, but others do.

rm -f .venv/.with-torch
case "${DIGLOT_TORCH:-} $(uname -s)" in
none*) torch= ;;
*Darwin) torch='torch>=2.0' ;;
*) torch='torch==2.13.0+cpu' ;;
esac
numpy=$(sed -n 's/^ *"\(numpy[^"]*\)",$/\1/p' pyproject.toml) # in the same command: alone, torch has it newer
if [ -n "$torch" ]; then
    if .venv/bin/python -c 'import torch' 2>/dev/null ||
        { say "installing $torch into .venv/" && .venv/bin/python -m pip install --quiet --disable-pip-version-check "$torch" "$numpy" >/dev/null 2>&1; }; then
        touch .venv/.with-torch
    else
        say "no index that pip knows has $torch: PyTorch's tests are skipped (PIP_EXTRA_INDEX_URL adds an index; https://pytorch.org names that of builds for the CPU)"
    fi
fi

rm -f .venv/.set-up-*
printf '%s\n' "$checksum" >".venv/.set-up-$mode"
say "ready"
