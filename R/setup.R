# What is installed, and how to install what is not.

#' Check what is installed
#'
#' `check_setup()` looks for all that diglot needs and says how to mend what is missing;
#' `devices()` lists the processors that can train.
#'
#' @return `check_setup()`: a tibble with one row a requirement, in the columns `requirement`,
#'   `found`, `ok`, `fix` and `optional`; it prints as one line each. `devices()`: a tibble with one
#'   row a device, in the columns `device`, `name`, `kind`, `memory` in GiB, `threads`, `engine`
#'   (those that can compute on it, the first choice first), `usable`, `note` (what is in the way of
#'   one that is not), `capability` (a GPU's compute capability) and `build`, the build of MXNet
#'   that serves it: `mxnet`, `mxnet-cu117` (5.0 to 8.9) or the 2.0 line (9.0 and later). GPUs are
#'   those that `nvidia-smi` lists, whether they can be used or not, and others that PyTorch can
#'   use; `install_diglot(gpu = TRUE)` installs the build of MXNet or PyTorch that serves them.
#' @export
#' @examples
#' if (diglot_available()) {
#'   check_setup()
#'   devices()
#' }
check_setup <- function() {
  rows <- list(
    setup_row("R", as.character(getRversion()), getRversion() >= "4.1.0", "install a newer R"),
    setup_row(
      "reticulate", as.character(utils::packageVersion("reticulate")),
      utils::packageVersion("reticulate") >= "1.28", "install.packages(\"reticulate\")"
    )
  )
  core <- tryCatch(call_bridge("check_setup"), error = identity)
  if (inherits(core, "error")) {
    why <- conditionMessage(core)
    if (!is.null(core$parent)) {
      why <- paste0(why, " (", conditionMessage(core$parent), ")")
    }
    rows <- c(rows, list(setup_row("Python", why, FALSE, "install_diglot()")))
    table <- do.call(rbind, rows)
  } else {
    core <- table_from(core)
    core$found[core$requirement == "Python"] <- sprintf(
      "%s in %s", core$found[core$requirement == "Python"], reticulate::py_config()$python
    )
    # the R that Python would find may be another than the one that runs
    table <- rbind(do.call(rbind, rows), core[core$requirement != "R", ])
  }
  tibble::new_tibble(table, class = "diglot_setup", nrow = nrow(table))
}

setup_row <- function(requirement, found, ok, fix) {
  tibble::tibble(
    requirement = requirement, found = found, ok = ok, fix = if (ok) "" else fix,
    optional = FALSE
  )
}

#' @export
print.diglot_setup <- function(x, ...) {
  utf8 <- cli::is_utf8_output()
  mark <- ifelse(
    x$ok, if (utf8) "\u2714" else "ok",
    ifelse(x$optional, "-", if (utf8) "\u2716" else "no")
  )
  lines <- sprintf("%s %s: %s", mark, x$requirement, x$found)
  writeLines(ifelse(x$ok, lines, sprintf("%s\n    fix: %s", lines, x$fix)))
  invisible(x)
}

#' @rdname check_setup
#' @export
devices <- function() {
  table_from(call_bridge("devices"))
}

#' Install the Python side
#'
#' Makes a virtual environment with the Python packages that diglot needs, about 0.5 GB. The
#' package finds it by its name.
#'
#' With `gpu = TRUE`, what has code for this machine's GPU follows. On Linux that is `mxnet-cu117`
#' with the `nvidia-*-cu11` packages, about 2.5 GB more, for a compute capability of 5.0 to 8.9, and
#' PyTorch for newer GPUs; on Macs with Apple's processors it is PyTorch. No CUDA of the system is
#' needed, only NVIDIA's driver. The environment is made only where that can be done; else the error
#' says why not and what to do. In the end something is computed on the GPU, to see that it works.
#' `python -m diglot.setup_gpu` does the same from a shell.
#'
#' @param envname The environment's name, or a path. Only the default is found without
#'   `options(diglot.python = )`.
#' @param python The Python to make it from, 3.10 to 3.12; by default the newest on the path.
#' @param ... Passed on to [reticulate::virtualenv_create()].
#' @param gpu Install MXNet's or PyTorch's build for this machine's GPU?
#' @param dry_run Only say what would be done?
#' @return The path of the environment's Python, invisibly.
#' @seealso [devices()], which lists GPUs and the build that serves each.
#' @export
#' @examples
#' \dontrun{
#' install_diglot()
#' install_diglot(gpu = TRUE, dry_run = TRUE)
#' }
install_diglot <- function(envname = "r-diglot", python = NULL, ..., gpu = FALSE, dry_run = FALSE) {
  env <- rlang::current_env()
  for (name in c("gpu", "dry_run")) {
    check_flag(get(name), name, env)
  }
  python <- python %||% python_to_build_from()
  if (is.null(python)) {
    abort_diglot(
      paste(
        "There is no Python 3.10, 3.11 or 3.12 on the path. Install one (on Debian or Ubuntu:",
        "apt install python3 python3-venv; elsewhere:",
        "reticulate::install_python(\"3.11:latest\")), or name one by `python`."
      ),
      kind = "missing_package", call = env
    )
  }
  target <- python_of_environment(envname)
  # what cannot be done for the GPU is said before anything is installed
  says <- if (gpu) setup_gpu(python, c("--dry-run", "--python", target), call = env)
  if (dry_run) {
    message(paste(c(
      sprintf("Would make the virtual environment of %s from %s, with:", target, python),
      paste0("  ", python_requirements()), says
    ), collapse = "\n"))
    return(invisible(target))
  }
  reticulate::virtualenv_create(envname, python = python, packages = python_requirements(), ...)
  installed <- reticulate::virtualenv_python(envname)
  if (gpu) {
    message(paste(setup_gpu(installed, "--yes", call = env), collapse = "\n"))
  }
  if (reticulate::py_available(initialize = FALSE)) {
    message("Restart R to use the new environment.")
  }
  invisible(installed)
}

# Where reticulate will put the Python of an environment that need not be there yet.
python_of_environment <- function(envname) {
  if (!grepl("[/\\\\]", envname)) {
    envname <- file.path(Sys.getenv("WORKON_HOME", "~/.virtualenvs"), envname)
  }
  inside <- if (.Platform$OS.type == "windows") "Scripts/python.exe" else "bin/python"
  file.path(path.expand(envname), inside)
}

# What `python -m diglot.setup_gpu` says; an error where it does not succeed. The Python that runs
# it needs no package, and is another process: the GPU's build is never loaded into this one.
setup_gpu <- function(python, arguments, call) {
  said <- suppressWarnings(system2(
    python, c("-m", "diglot.setup_gpu", shQuote(arguments)),
    stdout = TRUE, stderr = TRUE, env = paste0("PYTHONPATH=", shQuote(core_folder()))
  ))
  if (!identical(attr(said, "status") %||% 0L, 0L)) {
    abort_diglot(
      paste(c("No engine could be set up for a GPU.", said), collapse = "\n"),
      kind = "device", call = call
    )
  }
  as.character(said)
}

python_to_build_from <- function() {
  for (name in c("python3.12", "python3.11", "python3.10", "python3", "python")) {
    found <- Sys.which(name)
    if (nzchar(found)) {
      # a launcher of pyenv is there for each version that is installed for any folder, and fails
      version <- tryCatch(
        suppressWarnings(system2(
          found, c("-c", shQuote("import sys; print('%d.%d' % sys.version_info[:2])")),
          stdout = TRUE, stderr = FALSE
        )),
        error = function(error) NULL
      )
      if (length(version) == 1L && version %in% c("3.10", "3.11", "3.12")) {
        return(unname(found))
      }
    }
  }
  NULL
}
