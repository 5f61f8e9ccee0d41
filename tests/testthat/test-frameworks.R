# Figures that are known: MXNet is the fastest that agrees, JAX computes something else.
fake_frameworks <- function() {
  names <- c("jax", "mxnet", "torch", "pytensor")
  table <- tibble::tibble(
    framework = names, label = c("JAX", "MXNet", "PyTorch", "PyTensor"), era = "today",
    version = c("0.10.2", "1.9.1", "2.13", ""), python = "3.11.7", rank = c(NA, 1L, 2L, NA),
    agrees = c(FALSE, TRUE, TRUE, NA), difference = c(0.5, 1e-6, 2e-6, NA),
    images_per_second = c(4000, 2000, 1000, NA), images_per_second_lower = c(3900, 1900, 900, NA),
    images_per_second_upper = c(4100, 2200, 1300, NA), first_step_seconds = c(3, 0.5, 1, NA),
    import_seconds = c(1, 2, 3, NA), memory_mib = c(300, 200, 400, NA),
    device_memory_mib = c(0, 0, 0, NA), accuracy = c(0.5, 0.75, 0.75, NA),
    accuracy_lower = c(0.4, 0.7, 0.7, NA), accuracy_upper = c(0.6, 0.8, 0.8, NA),
    n = c(256L, 256L, 256L, NA), installed_mib = c(500, 1300, 900, NA),
    lines = c(45L, 40L, 35L, NA), settings = "OMP_NUM_THREADS=2",
    problem = c("", "", "", "it is not installed yet, and install=False")
  )
  times <- expand.grid(framework = names[1:3], epoch = 1:2, round = 1:2, stringsAsFactors = FALSE)
  times <- tibble::as_tibble(times[c("framework", "round", "epoch")])
  times$seconds <- unname(c(jax = 1, mxnet = 2, torch = 4)[times$framework])
  times$images_per_second <- 5952 / times$seconds
  losses <- tibble::tibble(
    framework = rep(names[1:3], each = 2), step = rep(1:2, 3), loss = c(2, 3, 2, 1, 2, 1),
    expected = rep(c(2, 1), 3)
  )
  tibble::new_tibble(
    table,
    nrow = 4L, class = "diglot_frameworks", epoch_times = times, losses = losses,
    machine = list(
      processor = "AMD EPYC", cores = 2L, memory_mib = 8000L, system = "Linux x86_64", gpu = ""
    ),
    task = "lenet-digits", device = "cpu", epochs = 2L, rounds = 2L, seed = 1L, threads = 2L,
    wall_seconds = 61, date = "2026-11-24"
  )
}

test_that("it prints the fastest first, and tells what is not ranked", {
  withr::local_options(width = 200)
  text <- capture.output(print(fake_frameworks()))
  expect_identical(
    text[1L],
    paste(
      "lenet-digits, 2 epochs in 2 rounds, 2 threads: AMD EPYC, 2 cores, Linux x86_64,",
      "2026-11-24"
    )
  )
  starts <- vapply(c("MXNet", "PyTorch", "JAX"), function(name) grep(name, text)[1L], 0L)
  expect_identical(unname(starts), 4:6)
  expect_match(text[4L], "2,000 +1,900-2,200 +0.50 +2.00 +200 +0.750 +0.700-0.800 .*yes$")
  expect_match(text[6L], "NO$")
  expect_match(text, "^JAX computes something else .*5.0e-01", all = FALSE)
  expect_match(text, "^pytensor was not measured: it is not installed", all = FALSE)
})

test_that("memory of a GPU is told and drawn where it was measured", {
  withr::local_options(width = 200)
  found <- fake_frameworks()
  expect_false(any(grepl("GPU MiB", capture.output(print(found)))))
  found$device_memory_mib <- c(900, 1200, 600, NA)
  text <- capture.output(print(found))
  expect_match(text[3L], "memory MiB +GPU MiB +accuracy")
  expect_match(text[4L], " 200 +1,200 +0.750 ")
  skip_if_not_installed("ggplot2")
  bars <- ggplot2::ggplot_build(ggplot2::autoplot(found))$data[[1L]]
  expect_equal(bars$x[bars$PANEL == 4L], c(900, 1200, 600))
  skip_if_no_diglot()
  ranked <- summary(found)
  ranked <- ranked[ranked$measure == "device_memory_mib", ]
  expect_identical(ranked$framework, c("torch", "mxnet"))
})

test_that("a size that is not known is told of and ranked nowhere", {
  withr::local_options(width = 200)
  found <- fake_frameworks()
  found$installed_mib[2L] <- NaN
  expect_match(capture.output(print(found))[4L], "0.700-0.800 +40 +yes$")
  skip_if_no_diglot()
  sizes <- summary(found)
  sizes <- sizes[sizes$measure == "installed_mib", ]
  expect_identical(sizes$framework, "torch")
  expect_identical(sizes$ratio, 1)
})

test_that("some rows are a result, some columns are a plain tibble", {
  withr::local_options(width = 200)
  found <- fake_frameworks()
  expect_s3_class(found[2:3, ], "diglot_frameworks")
  expect_identical(attr(found[2:3, ], "date"), attr(found, "date"))
  expect_match(capture.output(print(found[2L, ]))[4L], "^ *MXNet")
  for (some in list(found[c("framework", "images_per_second")], found[, -1L], found[0L])) {
    expect_identical(class(some), c("tbl_df", "tbl", "data.frame"))
    expect_null(attr(some, "machine"))
    expect_output(print(some), "tibble")
  }
  expect_identical(found[, "label", drop = TRUE], found$label)
})

test_that("it is drawn as measured", {
  skip_if_not_installed("ggplot2")
  found <- fake_frameworks()
  withr::local_pdf(NULL)
  built <- ggplot2::ggplot_build(ggplot2::autoplot(found))
  bars <- built$data[[1L]]
  expect_equal(bars$x[bars$PANEL == 1L], c(4000, 2000, 1000))
  expect_equal(bars$x[bars$PANEL == 3L], c(300, 200, 400))
  expect_equal(bars$fill[bars$PANEL == 1L], c("grey70", "#0072B2", "#0072B2"))
  lines <- built$data[[2L]]
  expect_equal(lines$xmax[lines$PANEL == 1L], c(4100, 2200, 1300))
  expect_silent(plot(found, type = "accuracy"))
  accuracy <- ggplot2::ggplot_build(ggplot2::autoplot(found, type = "accuracy"))
  # two epochs a round; the median of rounds
  expect_equal(accuracy$data[[2L]]$x, c(2, 4, 8))
  expect_equal(accuracy$data[[1L]]$ymin, c(0.4, 0.7, 0.7))
  # names of equal times are side by side
  attr(found, "epoch_times")$seconds <- 1
  names <- ggplot2::ggplot_build(ggplot2::autoplot(found, type = "accuracy"))$data[[3L]]
  expect_gt(min(diff(sort(names$x))), 0.05)
  expect_error(ggplot2::autoplot(found[4L, ]), "nothing to draw", class = "diglot_error_input")
  expect_error(ggplot2::autoplot(found, type = "pie"), "type", class = "diglot_error_input")
})

test_that("the summary ranks what agrees, measure by measure", {
  skip_if_no_diglot()
  table <- summary(fake_frameworks())
  expect_named(table, c("measure", "framework", "value", "ratio", "rank"))
  expect_setequal(table$framework, c("mxnet", "torch"))
  installed <- table[table$measure == "installed_mib", ]
  expect_identical(installed$framework, c("torch", "mxnet"))
  expect_equal(installed$ratio, c(1, 1300 / 900))
  accuracy <- table[table$measure == "accuracy", ]
  expect_equal(accuracy$rank, c(1, 1))
  expect_false("device_memory_mib" %in% table$measure) # none was used
})

test_that("files are read back as they were written, in both languages", {
  skip_if_no_diglot()
  found <- fake_frameworks()
  folder <- withr::local_tempdir()
  file <- file.path(folder, "found.csv")
  written <- write_frameworks(found, file)
  expect_identical(basename(written), c("found.csv", "found-epochs.csv", "found-losses.csv"))
  back <- read_frameworks(file)
  expect_s3_class(back, "diglot_frameworks")
  expect_equal(back, found)
  expect_identical(capture.output(print(back)), capture.output(print(found)))
  # what R's own reader sees
  plain <- utils::read.csv(file)
  expect_equal(plain$images_per_second, found$images_per_second)
  expect_identical(unique(plain$machine_processor), "AMD EPYC")
  # Python writes the same bytes
  python_says(c(
    "from diglot.comparison import FrameworkComparison",
    sprintf("found = FrameworkComparison.read_csv(r'%s')", file),
    sprintf("found.to_csv(r'%s')", file.path(folder, "again.csv"))
  ))
  for (part in c("", "-epochs", "-losses")) {
    expect_identical(
      readLines(file.path(folder, paste0("again", part, ".csv"))),
      readLines(file.path(folder, paste0("found", part, ".csv")))
    )
  }
  expect_error(
    read_frameworks(file.path(folder, "lost.csv")), "no file",
    class = "diglot_error_input"
  )
  expect_error(write_frameworks(mtcars, file), "compare_frameworks", class = "diglot_error_input")
  expect_error(read_frameworks(NA), "file", class = "diglot_error_input")
})

test_that("a file that does not say how long it took is read", {
  skip_if_no_diglot()
  file <- file.path(withr::local_tempdir(), "found.csv")
  write_frameworks(fake_frameworks(), file)
  table <- utils::read.csv(file, check.names = FALSE, colClasses = "character")
  table$wall_seconds <- NULL
  utils::write.csv(table, file, row.names = FALSE)
  back <- read_frameworks(file)
  expect_true(is.na(attr(back, "wall_seconds")))
  expect_identical(attr(back, "rounds"), 2L)
  again <- file.path(dirname(file), "again.csv")
  write_frameworks(back, again)
  expect_true(is.na(attr(read_frameworks(again), "wall_seconds")))
})

test_that("MXNet runs alone, in a Python that the user names; what is missing is told", {
  skip_if_no_diglot()
  withr::local_envvar(DIGLOT_CACHE = withr::local_tempdir())
  found <- compare_frameworks(
    c("mxnet", "jax"), "lstm",
    epochs = 2, rounds = 1, python = c(mxnet = reticulate::py_config()$python), install = FALSE
  )
  expect_s3_class(found, c("diglot_frameworks", "tbl_df"))
  expect_identical(found$framework, c("mxnet", "jax"))
  expect_identical(found$agrees, c(TRUE, NA))
  expect_lt(found$difference[1L], 1e-4)
  expect_identical(found$rank, c(1L, NA))
  expect_match(found$problem[2L], "install=False")
  expect_identical(attr(found, "task"), "lstm-digits")
  expect_identical(attr(found, "epochs"), 2L)
  expect_gt(attr(found, "wall_seconds"), 0)
  times <- attr(found, "epoch_times")
  expect_equal(found$images_per_second[1L], times$images_per_second[2L]) # the first warms up
  # a hundred steps, whose losses are the expected ones
  losses <- attr(found, "losses")
  expect_identical(losses$step, 1:100)
  expect_equal(losses$loss, losses$expected, tolerance = 1e-4)
})

test_that("arguments that cannot be used are named", {
  skip_if_no_diglot()
  refused <- function(pattern, ...) {
    expect_error(compare_frameworks(...), pattern, class = "diglot_error_input")
  }
  refused("Did you mean 'torch'", "pytorch")
  refused("frameworks", 1)
  refused("epochs", "mxnet", epochs = 1)
  refused("rounds", "mxnet", rounds = 1.5)
  refused("task", "mxnet", task = "mnist")
  refused("era", "mxnet", era = "1998")
  refused("device", "mxnet", device = "tpu")
  refused("install", "mxnet", install = NA)
  refused("`python`", "mxnet", python = "/usr/bin/python3")
  refused("torhc", "mxnet", python = c(torhc = "python3"))
  refused("verbose", "mxnet", verbose = "loud")
})

test_that("defaults are Python's", {
  skip_if_no_diglot()
  theirs <- python_says(c(
    "import inspect, diglot",
    "given = inspect.signature(diglot.compare_frameworks).parameters.values()",
    "print('\\n'.join(f'{p.name}={p.default}' for p in given))"
  ))
  ours <- formals(compare_frameworks)
  spelt <- vapply(ours, function(value) {
    if (is.null(value)) "None" else if (isTRUE(value)) "True" else format(value)
  }, "")
  expect_identical(theirs, paste0(names(ours), "=", spelt))
})

# ---- capabilities

test_that("capabilities are tried, printed, written and read", {
  skip_if_no_diglot()
  withr::local_envvar(DIGLOT_CACHE = withr::local_tempdir())
  found <- check_capabilities(
    c("diglot", "torch"), c("custom_operator", "onnx_file"),
    install = FALSE
  )
  expect_s3_class(found, c("diglot_capabilities", "tbl_df"))
  expect_identical(found$framework, rep(c("diglot", "torch"), each = 2))
  expect_identical(found$status, c("works", "works", "not tried", "not offered"))
  expect_gt(found$lines[1L], 5L)
  expect_identical(is.na(found$lines), c(FALSE, FALSE, TRUE, TRUE))
  wide <- summary(found)
  expect_named(wide, c("capability", "diglot on MXNet", "PyTorch"))
  expect_identical(wide[["PyTorch"]], c("not tried", "not offered"))
  text <- capture.output(print(found))
  expect_match(text[1L], "^diglot on MXNet .*, PyTorch: ")
  expect_match(text, "^ *new operator in Python +works \\([0-9]+\\) +not tried", all = FALSE)
  expect_match(text, "^PyTorch, ONNX file: not offered: https://", all = FALSE)
  file <- file.path(withr::local_tempdir(), "found.csv")
  expect_identical(write_capabilities(found, file), file)
  expect_equal(read_capabilities(file), found)
})

test_that("some rows of capabilities are printed as they are, some columns are a plain tibble", {
  skip_if_no_diglot()
  file <- system.file("extdata/frameworks/capabilities-today.csv", package = "diglot")
  all <- read_capabilities(file)
  found <- all[all$framework == "torch", ]
  expect_named(summary(found), c("capability", "PyTorch"))
  expect_identical(nrow(summary(found[1:3, ])), 3L)
  text <- capture.output(print(found))
  expect_match(text[1L], "^PyTorch [0-9.+a-z]+: ")
  expect_false(any(grepl("TensorFlow", text)))
  # what Python says of the whole
  theirs <- python_says(c(
    "from diglot.comparison import FrameworkCapabilities",
    sprintf("wide = FrameworkCapabilities.read_csv(r'%s').wide()", file),
    "print('\\n'.join(wide.columns))", "print('\\n'.join(wide.to_numpy().T.ravel()))"
  ))
  ours <- summary(all)
  expect_identical(c(names(ours)[-1L], unlist(ours[-1L], use.names = FALSE)), theirs)
  few <- all[c("label", "status")]
  expect_identical(class(few), c("tbl_df", "tbl", "data.frame"))
  expect_null(attr(few, "machine"))
})

test_that("capabilities that cannot be are refused by name", {
  skip_if_no_diglot()
  refused <- function(pattern, ...) {
    expect_error(check_capabilities(...), pattern, class = "diglot_error_input")
  }
  refused("Did you mean 'custom_operator'", "diglot", "custom_operators")
  refused("capabilities", "diglot", 1)
  refused("python", python = 1)
  refused("install", install = NA)
  expect_error(write_capabilities(1, "x.csv"), "check_capabilities", class = "diglot_error_input")
})

test_that("capabilities' defaults are Python's", {
  skip_if_no_diglot()
  theirs <- python_says(c(
    "import inspect, diglot",
    "given = inspect.signature(diglot.check_capabilities).parameters.values()",
    "print('\\n'.join(f'{p.name}={p.default}' for p in given))"
  ))
  ours <- formals(check_capabilities)
  spelt <- vapply(ours, function(value) {
    if (is.null(value)) "None" else if (isTRUE(value)) "True" else format(value)
  }, "")
  expect_identical(theirs, paste0(names(ours), "=", spelt))
})
