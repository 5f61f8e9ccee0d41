# R and Python in one process, seen from R; tests/python/test_r.py looks from the other side.

skip_if_no_rpy2 <- function() {
  skip_if_no_diglot()
  skip_if_not_installed("callr")
  skip_if_not(reticulate::py_module_available("rpy2"), "rpy2 is not installed")
}

# In a process of its own: R cannot be taken out of Python again.
in_process <- function(...) {
  core <- system.file("python", package = "diglot")
  code <- c("import sys", sprintf("sys.path.insert(0, r'%s')", core), "import diglot", ...)
  callr::r(
    function(code) {
      reticulate::py_run_string(code)
      list(planted = get0("planted", globalenv()), fit = get0("fit", globalenv()))
    },
    args = list(paste(code, collapse = "\n")),
    env = c(callr::rcmd_safe_env(), RETICULATE_PYTHON = reticulate::py_config()$python),
    stderr = file.path(withr::local_tempdir(.local_envir = parent.frame()), "stderr")
  )
}

test_that("Python that R embeds works on the same R", {
  skip_if_no_rpy2()
  found <- in_process(
    "import os",
    "assert diglot.r.evaluate('Sys.getpid()')[0] == os.getpid()",
    "diglot.r.evaluate(\"assign('planted', factor(c('b', NA), c('b', 'a')), globalenv())\")",
    "levels = diglot.r.to_python(diglot.r.evaluate('planted')).categories.tolist()",
    "assert levels == ['b', 'a'], levels"
  )
  expect_identical(found$planted, factor(c("b", NA), c("b", "a")))
})

test_that("a fit made in Python is R's fit, also in another process", {
  skip_if_no_rpy2()
  found <- in_process(
    "digits = diglot.example_images('digits')[:60]",
    "model = diglot.ImageClassifier('mlp', epochs=1, seed=1)",
    "model.fit(digits[['image']], digits['label'])",
    "space = diglot.r.evaluate('globalenv()')",
    "kept = diglot.r.call('assign', 'fit', diglot.r.fit(model), envir=space)"
  )
  digits <- example_images("digits")[1:60, ]
  fit <- image_classifier(label ~ image, digits, network = "mlp", epochs = 1, seed = 1)
  expect_s3_class(found$fit, class(fit), exact = TRUE)
  expect_identical(fingerprint(found$fit), fingerprint(fit))
  expect_identical(predict(found$fit, digits), predict(fit, digits))
})

test_that("an array of numbers reaches Python without a copy in R", {
  skip_if_no_diglot()
  skip_if_not(capabilities("profmem"), "R was built without memory profiling")
  image <- array(seq_len(50 * 32 * 30 * 3) %% 251 / 250, c(50L, 32L, 30L, 3L))
  y <- rep(c("a", "b"), 25)
  fit <- image_classifier(image, y, network = "mlp", epochs = 1, seed = 1)
  log <- withr::local_tempfile()
  whole <- integer()
  for (x in list(image, array(as.integer(image * 250), dim(image)))) {
    size <- length(x) * 4
    before <- predict(fit, x)
    Rprofmem(log, threshold = size)
    after <- predict(fit, x)
    Rprofmem(NULL)
    whole <- c(whole, length(grep("^[0-9]+ :", readLines(log))))
    expect_identical(after, before)
  }
  expect_identical(whole, c(0L, 0L))
})
