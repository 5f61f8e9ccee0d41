# Networks with weights from elsewhere. Such an object is a recipe, as plain data, and a cache of
# the live network, which is made anew from the recipe where it is gone.

#' A network with weights from a file or from the hub
#'
#' `pretrained()` puts weights from elsewhere into a network, ready for [fine_tune()], for
#' [embed()], or as the `network` of [image_classifier()]. What was loaded, skipped and replaced
#' is reported by name, and weights that do not fit are an error.
#'
#' How images are prepared (size, mean, standard deviation, interpolation and crop) follows the
#' weights, and is saved with what is trained from them.
#'
#' The object holds the way to the weights, not the weights, so it stays small; after [readRDS()]
#' or in a worker process they are read again, the same commit of a model on the hub. A file that
#' moved or changed in between is an error of class `diglot_error_model_file`.
#'
#' @param name A name from [networks()]; or the file that says what the network is: MXNet's symbol
#'   JSON, Caffe's prototxt. `NULL` where the weights' file says so itself: ONNX, and the model
#'   files of [save_model()].
#' @param weights A model on the hub, such as `"timm/resnet50.a1_in1k"`; or a file: safetensors by
#'   the names of timm, torchvision, transformers or diglot, MXNet's `.params`, a `.caffemodel`,
#'   ONNX; or a named list of arrays. Pickled weights (`.pth`, `.bin`) can hold foreign code and
#'   are refused; the message says how to convert them.
#' @param size `c(height, width)` of the images, or one number for both; by default what the
#'   weights were made for.
#' @param channels Of the images; the first convolution is made for them.
#' @param classes For another number of classes the head is replaced, and must be trained.
#' @param mean,std For each channel, on the scale from 0 to 1: what the weights expect, where the
#'   files do not say it.
#' @param interpolation How images are resized: `"bilinear"`, `"bicubic"` or `"nearest"`.
#' @param crop_fraction The part of the resized image that is used, from its centre.
#' @param revision A branch, a tag or a commit of the model on the hub.
#' @param ... The network's own settings, where the weights are not of the usual ones; see
#'   [network()].
#' @param verbose Progress of a download, as in [image_classifier()].
#' @return An object of classes `diglot_pretrained` and `diglot_network`. It prints as a card: what
#'   the weights expect of images, their source and licence, what was skipped and replaced, and
#'   the layer groups that [fine_tune()] can train or freeze. `summary()` adds the layers, the
#'   names that [embed()] takes. [fingerprint()] identifies the weights.
#' @export
#' @examplesIf diglot_available()
#' # the weights of a network that was trained here stand for those of a large one
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:300, ], epochs = 2, seed = 1)
#' file <- tempfile(fileext = ".safetensors")
#' save_model(fit, file)
#'
#' net <- pretrained(weights = file)
#' net
#' fine_tune(net, label ~ image, digits[301:600, ], train = "head", epochs = 2, seed = 1)
#' \dontrun{
#' net <- pretrained("resnet50", weights = "timm/resnet50.a1_in1k")
#' }
pretrained <- function(name = NULL, weights = NULL, size = NULL, channels = NULL, classes = NULL,
                       mean = NULL, std = NULL, interpolation = NULL, crop_fraction = NULL,
                       revision = NULL, ..., verbose = NULL) {
  env <- rlang::current_env()
  verbose <- verbose %||% getOption("diglot.verbose", "auto")
  check_verbose(verbose, env)
  own <- list(...)
  if (length(own) > 0L && (is.null(names(own)) || !all(nzchar(names(own))))) {
    abort_diglot("The network's own settings must be named, such as `hidden = 64`.", call = env)
  }
  settings <- list(
    size = size, channels = channels, classes = classes, mean = mean, std = std,
    interpolation = interpolation, crop_fraction = crop_fraction, revision = revision
  )
  settings <- settings_payload(c(settings[!vapply(settings, is.null, NA)], own), env)
  recipe <- list(
    name = structure_payload(name, env), weights = weights_payload(weights, env),
    settings = settings
  )
  answer <- call_bridge("pretrained", recipe, progress_function(verbose), call = env)
  recipe$settings$revision <- answer$commit %||% settings$revision
  cache <- new.env(parent = emptyenv())
  cache$network <- answer$network
  structure(
    list(
      name = answer$name,
      parameters = answer$parameters,
      card = unlist(answer$card),
      fingerprint = answer$fingerprint,
      recipe = recipe,
      cache = cache
    ),
    class = c("diglot_pretrained", "diglot_network")
  )
}

# A name of the catalogue as it is, a file by its whole path: the working folder may change.
structure_payload <- function(name, call) {
  if (is.null(name)) {
    return(NULL)
  }
  if (!rlang::is_string(name) || is.na(name)) {
    abort_diglot(
      sprintf("`name` must be a network's name or a file, not %s.", describe_class(name)),
      call = call
    )
  }
  if (grepl("\\.(json|prototxt)$", name)) whole_path(name) else enc2utf8(name)
}

weights_payload <- function(weights, call) {
  if (is.null(weights)) {
    return(NULL)
  }
  if (rlang::is_string(weights) && !is.na(weights)) {
    return(whole_path(weights))
  }
  arrays <- is.list(weights) && !is.object(weights) && length(weights) > 0L &&
    !is.null(names(weights)) && all(nzchar(names(weights))) &&
    all(vapply(weights, is.numeric, NA))
  if (!arrays) {
    abort_diglot(
      sprintf(
        paste(
          "`weights` must be a model on the hub such as \"timm/resnet50.a1_in1k\", a file, or a",
          "named list of arrays, not %s."
        ),
        describe_class(weights)
      ),
      call = call
    )
  }
  lapply(weights, function(array) {
    size <- dim(array) %||% length(array) # a plain number would cross as no array
    array(as.double(array), size)
  })
}

# Where a file is, for any working folder; text that is no file as it is.
whole_path <- function(path) {
  expanded <- path.expand(path)
  enc2utf8(if (file.exists(expanded)) normalizePath(expanded) else path)
}

# The live network of a recipe. It is gone after readRDS() or in a worker process.
live_network <- function(network, call = rlang::caller_env()) {
  bridge(call) # starts Python where it does not run yet
  live <- network$cache$network
  if (is.null(live) || reticulate::py_is_null_xptr(live)) {
    live <- revived_network(network, call)
    network$cache$network <- live
  }
  live
}

revived_network <- function(network, call) {
  recipe <- network$recipe
  answer <- tryCatch(
    call_bridge("pretrained", recipe, FALSE, call = call),
    diglot_error = function(error) {
      abort_diglot(
        sprintf(
          "The weights of this network cannot be read again from %s: call pretrained() anew.",
          weights_source(recipe)
        ),
        kind = sub("^diglot_error_", "", grep("^diglot_error_", class(error), value = TRUE)),
        call = call, parent = error
      )
    }
  )
  if (!identical(answer$fingerprint, network$fingerprint)) {
    abort_diglot(
      sprintf(
        "%s holds other weights now than when pretrained() read it: call pretrained() anew.",
        weights_source(recipe)
      ),
      kind = "model_file", call = call
    )
  }
  answer$network
}

weights_source <- function(recipe) {
  if (is.character(recipe$weights)) quoted(recipe$weights) else "the arrays"
}

#' @export
print.diglot_pretrained <- function(x, ...) {
  writeLines(c("Pretrained network", "", card_lines(x$card)))
  invisible(x)
}

# A named vector of words as lines, long ones broken at blanks.
card_lines <- function(words) {
  unlist(lapply(names(words), function(name) {
    parts <- strwrap(words[[name]], width = 66L)
    c(line(name, parts[1L]), sprintf("%14s%s", "", parts[-1L]))
  }))
}

#' @export
summary.diglot_pretrained <- function(object, ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  text <- call_bridge("summary", live_network(object, env), call = env)
  structure(list(card = object$card, layers = text), class = "summary.diglot_pretrained")
}

#' @export
print.summary.diglot_pretrained <- function(x, ...) {
  writeLines(c(
    "Pretrained network", "", card_lines(x$card), "", "Layers",
    paste0("  ", strsplit(x$layers, "\n", fixed = TRUE)[[1L]])
  ))
  invisible(x)
}

#' @export
fingerprint.diglot_pretrained <- function(x, ...) {
  x$fingerprint
}
