test_that("a Python is found by option, variable and folder", {
  home <- withr::local_tempdir()
  venv <- file.path(home, "project", ".venv")
  dir.create(file.path(venv, "bin"), recursive = TRUE)
  python <- file.path(venv, "bin", "python")
  file.create(python)
  below <- file.path(home, "project", "analysis", "deep")
  dir.create(below, recursive = TRUE)
  withr::local_dir(below)
  withr::local_envvar(DIGLOT_PYTHON = "", WORKON_HOME = home)
  withr::local_options(diglot.python = NULL)

  expect_null(diglot:::find_python()) # a .venv without MXNet is somebody else's
  dir.create(file.path(venv, "lib", "python3.11", "site-packages", "mxnet"), recursive = TRUE)
  found <- diglot:::find_python()
  expect_identical(found$source, ".venv")
  expect_identical(normalizePath(found$python), normalizePath(python))

  withr::local_envvar(DIGLOT_PYTHON = venv)
  expect_identical(diglot:::find_python()$source, "DIGLOT_PYTHON")
  withr::local_options(diglot.python = python)
  expect_identical(diglot:::find_python()$source, "options(diglot.python)")
  withr::local_options(diglot.python = file.path(home, "nowhere"))
  expect_error(diglot:::find_python(), "nowhere", class = "diglot_error_missing_package")
})

test_that("the environment of install_diglot() is found", {
  home <- withr::local_tempdir()
  dir.create(file.path(home, "r-diglot", "bin"), recursive = TRUE)
  file.create(file.path(home, "r-diglot", "bin", "python"))
  dir.create(
    file.path(home, "r-diglot", "lib", "python3.12", "site-packages", "mxnet"),
    recursive = TRUE
  )
  withr::local_dir(home)
  withr::local_envvar(DIGLOT_PYTHON = "", WORKON_HOME = home)
  withr::local_options(diglot.python = NULL)
  expect_identical(diglot:::find_python()$source, "r-diglot")
})

test_that("the declared requirements are those of pyproject.toml", {
  # R CMD check runs the tests away from the sources, which tools/test.sh then names
  file <- file.path(Sys.getenv("DIGLOT_SOURCES", test_path("..", "..")), "pyproject.toml")
  skip_if_not(file.exists(file), "pyproject.toml (only beside the sources)")
  lines <- readLines(file)
  from <- grep("^dependencies = \\[", lines)
  to <- from + which(lines[-seq_len(from)] == "]")[1L]
  lines <- grep("^ *\"", lines[seq(from, to)], value = TRUE)
  expect_setequal(diglot:::python_requirements(), sub("^ *\"(.*)\",$", "\\1", lines))
})

test_that("random numbers are kept, also where there were none", {
  set.seed(1)
  before <- .Random.seed
  diglot:::keep_random_state(runif(3))
  expect_identical(.Random.seed, before)
  rm(".Random.seed", envir = globalenv())
  diglot:::keep_random_state(runif(3))
  expect_false(exists(".Random.seed", globalenv(), inherits = FALSE))
  set.seed(1)
})

test_that("library(diglot) starts no Python, loads no reticulate, draws no random number", {
  skip_if_not_installed("callr")
  seen <- callr::r(
    function() {
      set.seed(1)
      before <- .Random.seed
      library(diglot)
      list(
        same = identical(before, .Random.seed),
        loaded = intersect(c("reticulate", "cli", "rlang", "tibble"), loadedNamespaces()),
        python = any(grepl("libpython", readLines(
          if (file.exists("/proc/self/maps")) "/proc/self/maps" else nullfile()
        )))
      )
    },
    libpath = c(dirname(system.file(package = "diglot")), .libPaths())
  )
  expect_true(seen$same)
  expect_identical(seen$loaded, character())
  expect_false(seen$python)
})

test_that("without Python, errors say what to do", {
  skip_if_not_installed("callr")
  seen <- callr::r(
    function() {
      library(diglot)
      options(diglot.python = "/no/such/python")
      error <- tryCatch(networks(), error = identity)
      list(
        available = diglot_available(), class = class(error), text = conditionMessage(error),
        setup = utils::capture.output(print(check_setup()))
      )
    },
    libpath = c(dirname(system.file(package = "diglot")), .libPaths()),
    env = c(callr::rcmd_safe_env(), RETICULATE_PYTHON = "", RETICULATE_PYTHON_ENV = "")
  )
  expect_false(seen$available)
  expect_true("diglot_error_missing_package" %in% seen$class)
  expect_match(seen$text, "/no/such/python")
  expect_match(paste(seen$setup, collapse = "\n"), "install_diglot()", fixed = TRUE)
})

test_that("errors of any kind come back as data", {
  skip_if_no_diglot()
  expect_error(network("lent"), "lenet", class = "diglot_error_input")
  expect_error(
    diglot:::call_bridge("describe", 1L), "AttributeError",
    class = "diglot_error_python"
  )
})
