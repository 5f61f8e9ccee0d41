# Model files, and the live model behind a fit.

#' Save and load a model
#'
#' A model file serves both languages: what R saves, `diglot.load()` reads in Python, and what
#' `.save()` wrote there, `load_model()` reads here. It is one safetensors file, without code in
#' it, so that a file of a stranger is safe to load. It is written beside an old one and takes its
#' place when it is on the disk: a crash or a full disk leaves the old file or the new one, whole.
#'
#' Within R, [saveRDS()] does as well, and keeps the call, the formula and the engine that was asked
#' for, too: a fit holds its model file as bytes. `load_model()` gives a fit without a formula, so
#' that data frames must have a column `image` (or one column only).
#'
#' Keep `.rds` files for yourself: [readRDS()] restores any R object, which may hold code that runs
#' when it is printed or used, and R itself does not check such files. To give a model away, or to
#' take one from somebody, use `save_model()` and `load_model()`.
#'
#' @param fit A fit, see [image_classifier()] and [image_captioner()].
#' @param path The file, usually `*.safetensors`.
#' @param engine What the model answers by, and is trained by further: `"auto"`, `"mxnet"` or
#'   `"torch"`, see [image_classifier()].
#' @return `save_model()`: `path`, invisibly. `load_model()`: a fit of the kind that was saved.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:200, ], epochs = 1, seed = 1)
#' file <- tempfile(fileext = ".safetensors")
#' save_model(fit, file)
#' again <- load_model(file)
#' fingerprint(again) == fingerprint(fit)
save_model <- function(fit, path) {
  env <- rlang::current_env()
  check_fit(fit, env, "diglot_model")
  path <- check_path(path, env)
  folder <- dirname(path)
  if (!dir.exists(folder)) {
    abort_diglot(sprintf("There is no folder %s to save in.", quoted(folder)), call = env)
  }
  # by the one door of both languages, so that a crash or a full disk costs no earlier file
  call_bridge("save", enc2utf8(path.expand(path)), fit$model, call = env)
  invisible(path)
}

#' @rdname save_model
#' @export
load_model <- function(path, engine = "auto") {
  env <- rlang::current_env()
  path <- enc2utf8(path.expand(check_path(path, env)))
  fit_from(call_bridge("load", path, engine, call = env))
}

# A fit of the kind that the bridge describes.
fit_from <- function(answer) {
  if (identical(answer$description$kind, "captioner")) {
    new_captioner(answer)
  } else if (identical(answer$description$kind, "baseline")) {
    new_hog(answer, ordered = answer$description$ordered)
  } else if (answer$description$kind %in% c("rbm", "dbn")) {
    new_machine(answer)
  } else {
    new_fit(answer, ordered = answer$description$ordered)
  }
}

# A fit from a model file's bytes: how diglot.r.fit() hands over the models of Python.
fit_from_bytes <- function(bytes, engine = "auto") {
  env <- rlang::current_env()
  fit_from(call_bridge("describe", call_bridge("revive", bytes, engine, call = env), call = env))
}

check_path <- function(path, call) {
  if (!is.character(path) || length(path) != 1L || is.na(path) || !nzchar(path)) {
    abort_diglot("`path` must be the name of one file.", call = call)
  }
  path
}

# The live Python object: from the cache, or revived from the bytes where it is gone, as after
# readRDS() or in a worker process.
live_model <- function(fit, call = rlang::caller_env()) {
  bridge(call) # starts Python where it does not run yet
  model <- fit$cache$model
  if (is.null(model) || reticulate::py_is_null_xptr(model)) {
    model <- call_bridge("revive", fit$model, asked_engine(fit), call = call)
    fit$cache$model <- model
  }
  model
}

# The engine that a fit was trained or loaded with. Its bytes do not hold it, as another machine may
# have another: what sends them sends it beside them. The baseline has none.
asked_engine <- function(fit) fit$settings[["engine"]] %||% "auto"
