# Reports: one page that needs nothing else. What it tells is tested in tests/python/test_report.py.

skip_if_no_report <- function() {
  skip_if_no_diglot()
  skip_if_not_installed("rmarkdown")
  skip_if_not_installed("ggplot2")
  skip_if_not(rmarkdown::pandoc_available("2.0"), "pandoc is installed")
}

page_of <- function(...) {
  file <- withr::local_tempfile(fileext = ".html")
  report(..., path = file)
  paste(readLines(file, warn = FALSE, encoding = "UTF-8"), collapse = "\n")
}

# The text of the first element that fits, as a browser would show it.
shown <- function(page, pattern) {
  text <- regmatches(page, regexpr(pattern, page, perl = TRUE))
  text <- gsub("<[^>]*>", " ", text)
  for (pair in list(c("&lt;", "<"), c("&gt;", ">"), c("&#39;", "'"), c("&amp;", "&"))) {
    text <- gsub(pair[1L], pair[2L], text, fixed = TRUE)
  }
  trimws(gsub("\\s+", " ", gsub("\u00a0", " ", text)))
}

test_that("a report is one page that loads nothing", {
  skip_if_no_report()
  fit <- small_fit()
  file <- withr::local_tempfile(fileext = ".html")
  given_back <- withVisible(report(fit, planted_tibble(), file))
  expect_identical(given_back, list(value = file, visible = FALSE))
  page <- paste(readLines(file, warn = FALSE, encoding = "UTF-8"), collapse = "\n")
  expect_match(page, "</html>", fixed = TRUE)
  sources <- regmatches(page, gregexpr("(src|href)=\"[^\"]{0,22}", page))[[1L]]
  expect_identical(unique(sources), "src=\"data:image/png;base64,")
  expect_false(grepl("<script|<link|://|@import", page))
  expect_identical(shown(page, "(?s)<h1>.*?</h1>"), "Image classification with mlp")
  # how many it learned from, which Python does not know
  expect_match(shown(page, "(?s)<dl>.*?</dl>"), "training images 40 test images 40 classes 2")
  expect_match(page, fingerprint(fit), fixed = TRUE)
  expect_identical(list.files(dirname(file), "^[.]report-", all.files = TRUE), character())
})

test_that("its numbers are those of evaluate()", {
  skip_if_no_report()
  fit <- small_fit()
  data <- planted_tibble()
  told <- report_data(fit, data, title = "Planted")
  expect_identical(told$metrics, evaluate(fit, data))
  expect_identical(told$roc, roc_curve(fit, data))
  expect_identical(told$reliability, reliability(fit, data))
  predicted <- predict(fit, data)$.pred_class
  expect_identical(
    unclass(told$confusion),
    matrix(as.integer(table(data$label, predicted)), 2L, dimnames = list(fit$levels, fit$levels))
  )
  expect_identical(told$title, "Planted")
  expect_identical(told$wrong, sum(predicted != data$label))
  expect_equal(as.data.frame(told$history), as.data.frame(fit$history))
  skip_if_not_installed("ggplot2")
  expect_s3_class(ggplot2::autoplot(told$history), "ggplot")
  expect_s3_class(ggplot2::autoplot(told$confusion), "ggplot")
})

test_that("classes are spelt as in R, and covariates are in the formula", {
  skip_if_no_report()
  data <- planted_tibble()
  data$label <- data$label == "two"
  data$age <- seq_len(nrow(data)) / 10
  fit <- image_classifier(label ~ image + age, data, network = "mlp", epochs = 1, seed = 1)
  told <- report_data(fit, data)
  expect_identical(told$classes$class, c("FALSE", "TRUE"))
  expect_match(told$r, "label ~ image + age, train", fixed = TRUE)
})

test_that("hostile text is text", {
  skip_if_no_report()
  nasty <- c("<script>alert(1)</script>", "$x$ | `r stop()` *b* ``` & 'c'")
  data <- planted_tibble()
  levels(data$label) <- nasty
  fit <- image_classifier(label ~ image, data, network = "mlp", epochs = 1, seed = 1)
  title <- paste(nasty, collapse = " ")
  page <- page_of(fit, data, title = title)
  expect_false(grepl("<script", page, fixed = TRUE))
  expect_identical(shown(page, "(?s)<h1>.*?</h1>"), title)
  expect_identical(shown(page, "(?s)<title>.*?</title>"), title)
})

test_that("a single image will do, and so will all of them right or all wrong", {
  skip_if_no_report()
  fit <- small_fit()
  data <- planted_tibble()
  header <- "(?s)<header>.*?</header>"
  expect_match(shown(page_of(fit, data[3, ]), header), "on 1 image of 2 classes")
  right <- data
  right$label <- predict(fit, data)$.pred_class
  expect_match(page_of(fit, right), "No image was misclassified")
  right$label <- factor(fit$levels[3L - as.integer(right$label)], fit$levels)
  expect_match(shown(page_of(fit, right), header), "0.0 % accuracy")
})

test_that("the code in it repeats the fit", {
  skip_if_no_report()
  fit <- small_fit()
  code <- report_data(fit, planted_tibble())$r
  again <- new.env()
  again$train <- planted_tibble()
  line <- Filter(function(x) identical(x[[1L]], as.name("<-")), as.list(parse(text = code)))[[1L]]
  eval(line, again)
  expect_identical(fingerprint(again$fit), fingerprint(fit))
})

test_that("what cannot be reported on is refused before anything is computed", {
  input_error <- function(...) expect_error(..., class = "diglot_error_input")
  fit <- fake_fit()
  input_error(report(1, planted_tibble()), "fit")
  input_error(report(fit, planted_tibble(), "no/such/folder/r.html"), "no folder")
  input_error(report(fit, planted_tibble(), tempdir()), "is a folder")
  input_error(report(fit, planted_tibble(), NA), "path")
  input_error(report_data(fit, planted_tibble(), title = 1), "title")
})

test_that("what is missing is told with its fix", {
  for (package in c("ggplot2", "htmltools", "rmarkdown")) {
    skip_if_not_installed(package)
  }
  expect_error(
    diglot:::check_report_tools(pandoc = FALSE), "install it",
    class = "diglot_error_missing_package"
  )
})

test_that("the template can be drawn up, and says what it needs", {
  skip_if_no_report()
  folder <- withr::local_tempdir()
  file <- rmarkdown::draft(file.path(folder, "mine.Rmd"), "report", "diglot", edit = FALSE)
  expect_error(rmarkdown::render(file, quiet = TRUE), "report_data")
  fit <- small_fit()
  told <- report_data(fit, planted_tibble(), title = "Mine")
  page <- rmarkdown::render(
    file, params = list(report = told), quiet = TRUE, envir = new.env(parent = globalenv())
  )
  expect_match(paste(readLines(page, warn = FALSE), collapse = "\n"), "<h1>Mine</h1>", fixed = TRUE)
})
