# Predictions of any number of files.

#' Predict from a folder of any size
#'
#' Predicts from image files in constant memory: only a few hundred images are in memory at a time,
#' and with `output` only their answers, too. An image's answer is that of
#' [predict()][predict.image_classifier], whichever images are with it.
#'
#' @param fit A fit of any kind, see [image_classifier()] and [load_model()].
#' @param newdata A folder, whose images count wherever they lie below it, or a packed file (see
#'   [read_images()]); or file names, in a data frame those of the column that the formula names (or
#'   `image`, or its only one), with the covariates beside them.
#' @param output A `.csv` or `.parquet` file to write the table to, instead of returning it. It is
#'   there once it is whole, and replaces an earlier one. Parquet needs the Python package pyarrow.
#' @param on_error Whether a file that cannot be read ends the work with its error (`"stop"`), or
#'   is left out, and told of in the end by a warning and the table of `failures()` (`"report"`).
#' @param proba Whether probabilities (or quantiles) stand beside what is predicted.
#' @param verbose Progress: `"auto"`, `TRUE` or `FALSE`.
#' @param x What `predict_files()` returned.
#' @return `predict_files()`: a tibble with one row a file that was read, in their order: `file`;
#'   `.pred_class` and `.pred_<level>` of classes, `.pred` and `.pred_<quantile>` of numbers,
#'   `.pred_class_<tag>` (logical) and `.pred_<tag>` of tags (without `proba` `.pred_<tag>` alone,
#'   logical), `.pred_caption` of captions. With `output` the file's name, invisibly; the file is
#'   the same from both languages, and has the names of Python's columns: `predicted`,
#'   `prob_<level>`, `quantile_<quantile>`, `predicted_<tag>`, `prob_<tag>`.
#'
#'   `failures()`: a tibble with one row a file that was not read: `row` (of `newdata`), `file`,
#'   `kind` (`"missing"`, `"folder"`, `"empty"`, `"not_image"`, `"damaged"`, or `"unfit"` where the
#'   fit does not take its channels or its numbers) and `message`.
#' @export
#' @examplesIf diglot_available() && requireNamespace("png", quietly = TRUE)
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:500, ], epochs = 2, seed = 1)
#' folder <- tempfile()
#' dir.create(folder)
#' for (i in 1:3) {
#'   png::writePNG(digits$image[[i]] / 16, file.path(folder, paste0(i, ".png")))
#' }
#' files <- c(list.files(folder, full.names = TRUE), "gone.png")
#' found <- suppressWarnings(predict_files(fit, files, on_error = "report"))
#' found[c("file", ".pred_class")]
#' failures(found)
predict_files <- function(fit, newdata, output = NULL, on_error = c("stop", "report"),
                          proba = TRUE, verbose = getOption("diglot.verbose", "auto")) {
  env <- rlang::current_env()
  check_fit(fit, env, "diglot_model")
  check_newdata(missing(newdata), env, "predict")
  on_error <- check_choice(on_error, c("stop", "report"), "on_error", env)
  check_flag(proba, "proba", env)
  check_verbose(verbose, env)
  answer <- call_bridge(
    "predict_files", live_model(fit, env), file_payload(fit, newdata, env),
    output_path(output, env), on_error, proba, progress_function(verbose),
    call = env
  )
  failed <- table_from(answer$failures)
  failed$row <- failed$row + 1L
  if (!is.null(answer$output)) {
    return(invisible(structure(output, failures = failed)))
  }
  table <- table_from(answer$table)
  names(table) <- file_columns(fit, proba)
  structure(table, failures = failed)
}

#' @rdname predict_files
#' @export
failures <- function(x) {
  found <- attr(x, "failures", exact = TRUE)
  if (!is.data.frame(found)) {
    abort_diglot(
      sprintf("`x` must be what predict_files() returned, not %s.", describe_class(x)),
      call = rlang::current_env()
    )
  }
  found
}

# A folder, or file names with covariates beside them; pixels are refused.
file_payload <- function(fit, newdata, call) {
  packed <- rlang::is_string(newdata) && grepl("\\.rec$", newdata, ignore.case = TRUE)
  if (packed || (rlang::is_string(newdata) && dir.exists(newdata))) {
    return(list(kind = "folder", path = enc2utf8(path.expand(newdata))))
  }
  payload <- image_payload(newdata_images(fit, newdata, "newdata", call), "newdata", call)
  images <- if (payload$kind == "table") payload$images else payload
  empty <- images$kind == "list" && length(images$items) == 0L
  if (images$kind != "paths" && !empty) {
    abort_diglot(
      "`newdata` must be a folder or file names: predict() takes images that are in memory.",
      call = call
    )
  }
  payload
}

output_path <- function(output, call) {
  if (is.null(output)) {
    return(NULL)
  }
  if (!rlang::is_string(output) || !nzchar(output)) {
    abort_diglot("`output` must be the name of one file.", call = call)
  }
  enc2utf8(path.expand(output))
}

# The columns as R's other predictions call them, in the order in which Python has them.
file_columns <- function(fit, proba) {
  if (inherits(fit, "image_tagger")) {
    classes <- paste0(if (proba) ".pred_class_" else ".pred_", fit$tags)
    more <- fit$tags
  } else if (inherits(fit, "diglot_captioner")) {
    classes <- ".pred_caption"
    more <- NULL
  } else if (inherits(fit, "image_regressor")) {
    classes <- ".pred"
    more <- fit$quantiles
  } else {
    classes <- ".pred_class"
    more <- fit$levels
  }
  c("file", classes, if (proba && length(more) > 0L) paste0(".pred_", more))
}
