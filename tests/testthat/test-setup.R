test_that("a check prints one line for each requirement, with its fix", {
  rows <- rbind(
    diglot:::setup_row("R", "4.4.0", TRUE, "install a newer R"),
    diglot:::setup_row("Python", "none", FALSE, "install_diglot()")
  )
  withr::local_options(cli.unicode = FALSE)
  expect_output(
    print(tibble::new_tibble(rows, class = "diglot_setup", nrow = 2L)),
    "ok R: 4.4.0\nno Python: none\n    fix: install_diglot()",
    fixed = TRUE
  )
  expect_identical(rows$fix, c("", "install_diglot()"))
})

test_that("check_setup() and devices() see this machine", {
  skip_if_no_diglot()
  setup <- check_setup()
  expect_identical(setup$found[setup$requirement == "R"], as.character(getRversion()))
  expect_true(all(c("reticulate", "Python", "numpy", "MXNet") %in% setup$requirement))
  expect_true(all(setup$ok[!setup$optional]))
  expect_identical(devices()$device[1L], "cpu")
  expect_true(devices()$usable[1L])
})

test_that("install_diglot() refuses a machine without a fitting Python", {
  withr::local_path(withr::local_tempdir(), action = "replace")
  expect_error(install_diglot(), "3.11", class = "diglot_error_missing_package")
})

# A folder with a program nvidia-smi that sees these GPUs, and with what it needs itself.
fake_gpus <- function(lines, env = parent.frame()) {
  folder <- withr::local_tempdir(.local_envir = env)
  program <- file.path(folder, "nvidia-smi")
  writeLines(c("#!/bin/sh", sprintf("printf '%%s\\n' '%s'", lines)), program)
  Sys.chmod(program, "755")
  folder
}

test_that("a GPU that is there is listed with its build, by either language alike", {
  skip_if_no_diglot()
  skip_on_os(c("windows", "mac"))
  withr::local_path(fake_gpus(c("0, RTX A5000, 24564 MiB, 8.6", "1, H100, 81559 MiB, 9.0")))
  withr::local_envvar(CUDA_VISIBLE_DEVICES = NA)
  # Python has read its environment when it started
  os <- reticulate::import("os", convert = FALSE)
  before <- Sys.getenv("PATH")
  old <- reticulate::py_to_r(os$environ$get("PATH"))
  withr::defer(os$environ$update(list(PATH = old)))
  os$environ$update(list(PATH = before))
  table <- devices()
  expect_identical(table$device, c("cpu", "gpu:0", "gpu:1"))
  expect_identical(table$capability, c("", "8.6", "9.0"))
  expect_identical(table$build[1:2], c("mxnet", "mxnet-cu117"))
  expect_equal(table$memory[2:3], c(24564, 81559) / 1024, tolerance = 0.01)
  expect_match(table$note[!table$usable], "diglot.setup_gpu", fixed = TRUE)
})

test_that("install_diglot(gpu = TRUE) says what it would do, and does nothing when only asked", {
  python <- diglot:::python_to_build_from()
  skip_if(is.null(python), "no Python on the path")
  skip_on_os(c("windows", "mac"))
  withr::local_envvar(CUDA_VISIBLE_DEVICES = NA)
  withr::local_path(fake_gpus("0, NVIDIA RTX A5000, 24564 MiB, 8.6"))
  target <- file.path(withr::local_tempdir(), "an environment")
  said <- paste(
    capture_messages(install_diglot(target, python = python, gpu = TRUE, dry_run = TRUE)),
    collapse = "\n"
  )
  expect_false(file.exists(target))
  expect_match(said, "numpy>=1.23,<2", fixed = TRUE)
  expect_match(said, "an environment/bin/python' -m pip uninstall --yes mxnet", fixed = TRUE)
  expect_match(said, "mxnet-cu117==1.9.1.*nvidia-cudnn-cu11.*numpy>=1.23,<2")
  expect_lt(regexpr("pip uninstall", said), regexpr("pip install mxnet-cu117", said))
})

test_that("install_diglot(gpu = TRUE) brings PyTorch for GPUs that MXNet has no code for", {
  python <- diglot:::python_to_build_from()
  skip_if(is.null(python), "no Python on the path")
  skip_on_os(c("windows", "mac"))
  withr::local_envvar(CUDA_VISIBLE_DEVICES = NA)
  withr::local_path(fake_gpus("0, NVIDIA H100, 81559 MiB, 9.0"))
  target <- file.path(withr::local_tempdir(), "env")
  said <- paste(
    capture_messages(install_diglot(target, python = python, gpu = TRUE, dry_run = TRUE)),
    collapse = "\n"
  )
  expect_false(file.exists(target))
  expect_match(said, "env/bin/python -m pip install 'torch>=2.0' 'numpy>=1.23,<2'", fixed = TRUE)
  expect_match(said, "capability 9.0: served by .* and by PyTorch")
  expect_match(said, "driver 590", fixed = TRUE)
})

test_that("install_diglot(gpu = TRUE) says why not before anything is installed", {
  python <- diglot:::python_to_build_from()
  skip_if(is.null(python), "no Python on the path")
  skip_on_os(c("windows", "mac"))
  withr::local_envvar(CUDA_VISIBLE_DEVICES = NA)
  withr::local_path(fake_gpus("0, NVIDIA K80, 11441 MiB, 3.7"))
  target <- file.path(withr::local_tempdir(), "env")
  expect_error(
    install_diglot(target, python = python, gpu = TRUE),
    "capability 3.7.*5.0 or more",
    class = "diglot_error_device"
  )
  expect_false(file.exists(target))
  withr::local_path(fake_gpus("No devices were found"))
  expect_error(
    install_diglot(target, python = python, gpu = TRUE), "no GPU",
    class = "diglot_error_device"
  )
  expect_error(install_diglot(target, gpu = NA), "`gpu`", class = "diglot_error_input")
})

test_that("what setting up says comes back, or is the error", {
  skip_on_os(c("windows", "mac"))
  python <- file.path(withr::local_tempdir(), "a python")
  writeLines(c("#!/bin/sh", "printf '%s\\n' \"$@\" \"$PYTHONPATH\"", "exit ${STATUS:-0}"), python)
  Sys.chmod(python, "755")
  said <- diglot:::setup_gpu(python, c("--yes", "--python", "/a folder/python"), call = NULL)
  expect_identical(
    said,
    c("-m", "diglot.setup_gpu", "--yes", "--python", "/a folder/python", diglot:::core_folder())
  )
  withr::local_envvar(STATUS = "1")
  expect_error(
    diglot:::setup_gpu(python, "--yes", call = NULL), "--yes",
    class = "diglot_error_device"
  )
})
