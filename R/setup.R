# What is installed, and how to install what is not.

#' Check what is installed
#'
#' `check_setup()` looks for all that diglot needs and says how to mend what is missing;
#' `devices()` lists the processors that can train.
#'
#' @return `check_setup()`: a tibble with one row a requirement, in the columns `requirement`,
#'   `found`, `ok`, `fix` and `optional`; it prints as one line each. `devices()`: a tibble with one
#'   row a device.
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
#' @param envname The environment's name, or a path. Only the default is found without
#'   `options(diglot.python = )`.
#' @param python The Python to make it from, 3.10 to 3.12; by default the newest on the path.
#' @param ... Passed on to [reticulate::virtualenv_create()].
#' @return The path of the environment's Python, invisibly.
#' @export
#' @examples
#' \dontrun{
#' install_diglot()
#' }
install_diglot <- function(envname = "r-diglot", python = NULL, ...) {
  env <- rlang::current_env()
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
  reticulate::virtualenv_create(envname, python = python, packages = python_requirements(), ...)
  installed <- reticulate::virtualenv_python(envname)
  if (reticulate::py_available(initialize = FALSE)) {
    message("Restart R to use the new environment.")
  }
  invisible(installed)
}

python_to_build_from <- function() {
  for (name in c("python3.12", "python3.11", "python3.10", "python3", "python")) {
    found <- Sys.which(name)
    if (nzchar(found)) {
      version <- suppressWarnings(system2(
        found, c("-c", shQuote("import sys; print('%d.%d' % sys.version_info[:2])")),
        stdout = TRUE, stderr = FALSE
      ))
      if (length(version) == 1L && version %in% c("3.10", "3.11", "3.12")) {
        return(unname(found))
      }
    }
  }
  NULL
}
