# The report: one HTML page on a classifier, by an R Markdown template.

#' Write a report on a classifier
#'
#' Writes one HTML file that needs no other, not even a network: metrics with their intervals, the
#' confusion matrix, the images that the classifier got most wrong, ROC curves, reliability, how it
#' was trained, what it is, and the code that repeats it in R and in Python. It follows the reader's
#' light or dark setting, and prints.
#'
#' The page is made by an R Markdown template. To change it, draw up a copy by
#' `rmarkdown::draft("mine.Rmd", "report", package = "diglot")`, edit that, and render it by
#' `rmarkdown::render("mine.Rmd", params = list(report = report_data(fit, newdata)))`.
#'
#' @inheritParams evaluate.image_classifier
#' @param fit A fit, see [image_classifier()].
#' @param path The file to write. Its folder must exist; an existing file is replaced.
#' @param title The heading.
#' @return `report()`: `path`, invisibly. `report_data()`: the list that the template is given, all
#'   plain data: `title`; `data` and `classes`, how many images there are; `metrics`, `roc` and
#'   `reliability`, which [autoplot()][autoplot_tables] knows, as it knows `confusion`, a matrix,
#'   and `history`; `cells`, the confusions as a table; `wrong`, how many images are; `errors`, the
#'   worst of them with their pictures; `model`, `settings` and `layers`; `r` and `python`, code.
#' @export
#' @examplesIf diglot_available() && rlang::is_installed("rmarkdown") && nzchar(Sys.which("pandoc"))
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:500, ], epochs = 2, seed = 1)
#' file <- tempfile(fileext = ".html")
#' report(fit, digits[501:700, ], file, title = "Handwritten digits")
report <- function(fit, newdata, path = "report.html", truth = NULL, title = NULL) {
  env <- rlang::current_env()
  check_fit(fit, env)
  check_report_path(path, env)
  check_report_tools(env)
  render_report(gather_report(fit, newdata, truth, title, env), path, env)
}

#' @rdname report
#' @export
report_data <- function(fit, newdata, truth = NULL, title = NULL) {
  env <- rlang::current_env()
  check_fit(fit, env)
  gather_report(fit, newdata, truth, title, env)
}

gather_report <- function(fit, newdata, truth, title, call) {
  if (!is.null(title) && (!is.character(title) || length(title) != 1L || is.na(title))) {
    abort_diglot("`title` must be one text.", call = call)
  }
  test <- test_payload(fit, newdata, truth, call)
  title <- if (!is.null(title)) enc2utf8(title)
  images <- if (!is.null(fit$images) && !is.na(fit$images)) fit$images
  answer <- call_bridge(
    "report_data", live_model(fit, call), test$images, test$codes, title, images,
    call = call
  )
  tables <- vapply(answer, function(part) is.list(part) && !is.null(part$columns), NA)
  answer[tables] <- lapply(answer[tables], table_from)
  new_report(answer)
}

# Puts the classes on that autoplot() knows tables by. Python calls this, too.
new_report <- function(parts) {
  known <- c(
    metrics = "diglot_metrics", roc = "diglot_roc", reliability = "diglot_reliability",
    history = "diglot_history"
  )
  for (name in names(known)) {
    if (!is.null(parts[[name]])) {
      table <- tibble::as_tibble(parts[[name]])
      parts[[name]] <- tibble::new_tibble(table, class = known[[name]], nrow = nrow(table))
    }
  }
  parts$cells <- tibble::as_tibble(parts$confusion)
  classes <- as.character(parts$classes$class)
  counts <- matrix(0L, length(classes), length(classes), dimnames = list(classes, classes))
  at <- cbind(match(parts$cells$truth, classes), match(parts$cells$predicted, classes))
  counts[at] <- as.integer(parts$cells$n)
  parts$confusion <- structure(counts, class = "diglot_confusion")
  parts
}

check_report_path <- function(path, call) {
  if (!is.character(path) || length(path) != 1L || is.na(path) || !nzchar(path)) {
    abort_diglot("`path` must be the name of a file.", call = call)
  }
  folder <- dirname(path.expand(path))
  if (!dir.exists(folder)) {
    abort_diglot(
      sprintf("The report cannot be written: there is no folder %s.", quoted(folder)),
      call = call
    )
  }
  if (dir.exists(path.expand(path))) {
    abort_diglot(
      sprintf("The report cannot be written: %s is a folder.", quoted(path)),
      call = call
    )
  }
}

check_report_tools <- function(call = NULL, pandoc = rmarkdown::pandoc_available("2.0")) {
  packages <- c("ggplot2", "htmltools", "rmarkdown")
  missing <- packages[!vapply(packages, requireNamespace, NA, quietly = TRUE)]
  if (length(missing) > 0L) {
    abort_diglot(
      sprintf(
        "A report needs R packages that are missing: install.packages(c(%s)).",
        paste(dQuote(missing, FALSE), collapse = ", ")
      ),
      kind = "missing_package", call = call
    )
  }
  if (!pandoc) {
    abort_diglot(
      paste(
        "A report needs pandoc 2 or newer, which makes the page: install it (on Debian the",
        "package pandoc), or set RSTUDIO_PANDOC to its folder."
      ),
      kind = "missing_package", call = call
    )
  }
}

# What Python calls, with parts that crossed as plain data.
write_report <- function(parts, path) {
  render_report(new_report(parts), path)
}

# Renders beside the template's files, and puts the page in its place when it is whole.
render_report <- function(report, path, call = NULL) {
  check_report_path(path, call)
  check_report_tools(call)
  folder <- tempfile("report-")
  dir.create(folder)
  on.exit(unlink(folder, recursive = TRUE))
  template <- system.file("rmarkdown", "templates", "report", "skeleton", package = "diglot")
  file.copy(list.files(template, full.names = TRUE), folder)
  page <- rmarkdown::render(
    file.path(folder, "skeleton.Rmd"),
    output_options = list(
      # as an argument of its own, lest a title be taken for markup
      pandoc_args = c("--metadata", paste0("pagetitle=", report$title))
    ),
    params = list(report = report), envir = new.env(parent = globalenv()), quiet = TRUE
  )
  target <- path.expand(path)
  partial <- tempfile(".report-", dirname(target), ".html")
  on.exit(unlink(partial), add = TRUE)
  if (!file.copy(page, partial) || !file.rename(partial, target)) {
    abort_diglot(sprintf("The report cannot be written to %s.", quoted(path)), call = call)
  }
  invisible(path)
}
