# Where Python is found, started and called. Everything that crosses goes through call_bridge().

# The distributions that the core needs, as in pyproject.toml (a test compares them).
python_requirements <- function() {
  c(
    "joblib>=1.4",
    paste(
      "mxnet>=1.9.1; (sys_platform == 'linux'",
      "and (platform_machine == 'x86_64' or platform_machine == 'aarch64'))",
      "or (sys_platform == 'darwin' and platform_machine == 'x86_64')"
    ),
    "numpy>=1.23,<2", "pandas>=1.5", "pillow>=9.4",
    "safetensors>=0.4", "scikit-image>=0.20", "scikit-learn>=1.6",
    "setuptools; python_version >= '3.12'",
    paste(
      "torch>=2.0; (sys_platform != 'linux'",
      "or (platform_machine != 'x86_64' and platform_machine != 'aarch64'))",
      "and (sys_platform != 'darwin' or platform_machine != 'x86_64')"
    ),
    "tqdm>=4.60"
  )
}

# A folder or a file, whichever way a user names a Python; NULL if there is none.
python_binary <- function(path) {
  path <- path.expand(path)
  if (dir.exists(path)) {
    inside <- if (.Platform$OS.type == "windows") "Scripts/python.exe" else "bin/python"
    path <- file.path(path, inside)
  }
  # normalizePath() would follow a virtual environment's link out of the environment
  if (file.exists(path)) file.path(normalizePath(dirname(path)), basename(path))
}

has_module <- function(environment, module) {
  inside <- c("lib/python3*/site-packages", "Lib/site-packages")
  length(Sys.glob(file.path(environment, inside, module))) > 0L
}

# Does an environment hold one of the engines, and a package that not every PyTorch comes with?
has_core <- function(environment) {
  has_module(environment, "mxnet") ||
    (has_module(environment, "torch") && has_module(environment, "skimage"))
}

# The nearest .venv with an engine in it, from the working folder upwards.
nearest_venv <- function(start = getwd()) {
  folder <- normalizePath(start, mustWork = FALSE)
  repeat {
    venv <- file.path(folder, ".venv")
    if (has_core(venv)) {
      return(venv)
    }
    parent <- dirname(folder)
    if (identical(parent, folder)) {
      return(NULL)
    }
    folder <- parent
  }
}

# The Python that the package would use, and why; NULL where the choice is left to reticulate.
find_python <- function() {
  told <- c(
    "options(diglot.python)" = getOption("diglot.python", ""),
    "DIGLOT_PYTHON" = Sys.getenv("DIGLOT_PYTHON")
  )
  for (source in names(told)[nzchar(told)]) {
    python <- python_binary(told[[source]])
    if (is.null(python)) {
      abort_diglot(
        sprintf("%s names %s, where there is no Python.", source, quoted(told[[source]])),
        kind = "missing_package"
      )
    }
    return(list(python = python, source = source))
  }
  venv <- nearest_venv()
  if (!is.null(venv)) {
    return(list(python = python_binary(venv), source = ".venv"))
  }
  root <- Sys.getenv("WORKON_HOME", "~/.virtualenvs")
  venv <- file.path(path.expand(root), "r-diglot")
  if (has_core(venv)) {
    return(list(python = python_binary(venv), source = "r-diglot"))
  }
  NULL
}

# Has the user, not diglot, said which Python reticulate is to start?
python_is_chosen <- function() {
  reticulate::py_available(initialize = FALSE) ||
    nzchar(Sys.getenv("RETICULATE_PYTHON")) ||
    nzchar(Sys.getenv("RETICULATE_PYTHON_ENV"))
}

can_require <- function() "py_require" %in% getNamespaceExports("reticulate")

start_python <- function(call = NULL) {
  if (!python_is_chosen()) {
    found <- find_python()
    if (!is.null(found)) {
      # what was found, not told, is a hint: what the user told reticulate goes first
      reticulate::use_python(found$python, required = !found$source %in% c(".venv", "r-diglot"))
    } else if (can_require()) {
      utils::getFromNamespace("py_require", "reticulate")(
        python_requirements(),
        python_version = ">=3.10,<3.13"
      )
    }
  }
  started <- tryCatch(reticulate::py_available(initialize = TRUE), error = identity)
  if (!isTRUE(started)) {
    abort_diglot(
      "diglot needs Python, and reticulate could start none: run install_diglot().",
      kind = "missing_package",
      call = call,
      parent = if (inherits(started, "error")) started
    )
  }
}

core_folder <- function() system.file("python", package = "diglot", mustWork = TRUE)

# The core's bridge module; starts Python at the first call.
bridge <- function(call = NULL) {
  if (is.null(the$bridge) || reticulate::py_is_null_xptr(the$bridge)) {
    keep_random_state({
      start_python(call)
      the$bridge <- tryCatch(
        reticulate::import_from_path("diglot.bridge", path = core_folder()),
        error = function(error) {
          abort_diglot(
            paste0(
              "The Python core could not be loaded into ",
              reticulate::py_config()$python,
              ": run check_setup() to see what is missing, install_diglot() to mend it."
            ),
            kind = "missing_package", call = call, parent = error
          )
        }
      )
    })
  }
  the$bridge
}

# Calls one function of the bridge. What went wrong comes back as data and is raised here;
# `on_model` turns what a diverged fit had learned so far into a fit for the condition.
call_bridge <- function(name, ..., call = rlang::caller_env(), on_model = NULL) {
  answer <- bridge(call)[[name]](...)
  raise_warnings(answer$warnings, call)
  if (!is.null(answer$error)) {
    model <- answer$error$model
    fit <- if (!is.null(model) && !is.null(on_model)) {
      # the error is what matters: what cannot be described is not brought along
      tryCatch(on_model(call_bridge("describe", model)), error = function(error) NULL)
    }
    raise_error(answer$error, call, fit)
  }
  answer$value
}

# Evaluates with R's random numbers left as they were.
keep_random_state <- function(expr) {
  globals <- globalenv()
  before <- get0(".Random.seed", envir = globals, inherits = FALSE)
  on.exit({
    if (is.null(before)) {
      suppressWarnings(rm(".Random.seed", envir = globals))
    } else {
      assign(".Random.seed", before, envir = globals)
    }
  })
  expr
}

#' Is the Python side there?
#'
#' `TRUE` where diglot's Python core can run in this session. Where that can be told without
#' starting Python, none is started; reticulate is never asked to download anything. A Python that
#' was named by [reticulate::use_python()] alone is seen once it runs.
#'
#' @return `TRUE` or `FALSE`.
#' @seealso [check_setup()] for what is missing, [install_diglot()] to install it.
#' @export
#' @examples
#' diglot_available()
diglot_available <- function() {
  if (is.null(the$bridge) && !python_is_chosen()) {
    found <- tryCatch(find_python(), error = function(error) NULL)
    if (is.null(found)) {
      return(FALSE)
    }
  }
  tryCatch(
    {
      # not by py_module_available(): MXNet needs the core's help to be imported
      isTRUE(call_bridge("has_engine"))
    },
    error = function(error) FALSE
  )
}
