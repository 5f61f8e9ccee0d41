# From weights that are there: fine-tuning, and features for models of one's own.

#' Fine-tune a network to your own images
#'
#' `fine_tune()` takes a network with weights, from [pretrained()] or from an earlier fit, gives it
#' a new head for the labels at hand, and trains it: in general with far fewer images and epochs
#' than training from scratch takes.
#'
#' @section What learns:
#' The setting `train` says what learns:
#' - `"head_then_all"` (the default here): first the new head alone, then everything.
#'   `epochs = c(1, 5)` gives each its number of epochs; one number is for everything, and the
#'   head has one epoch.
#' - `"head"`: the last layer alone.
#' - `"all"`: everything, from the start.
#' - names of layer groups, such as `c("stage4", "head")`; printing the network shows them.
#'
#' What does not learn is frozen: its weights stay as they are to the byte, batch normalisation's
#' statistics with them. Frozen layers before the first that learns are computed once for each
#' image, so that training the head alone is quick. `layer_decay = 0.5` lets each layer group learn
#' at half the rate of the group behind it.
#'
#' @param object A network from [pretrained()], a deep belief network from [dbn()], or a fit of
#'   [image_classifier()], `fine_tune()` or [load_model()], also of [image_regressor()] and
#'   [image_tagger()]. It stays as it is.
#' @param ... What to train on and how, as in [image_classifier()]: a formula and `data`, or images
#'   `x` and labels `y`; `weights`; settings. From an earlier fit, its settings are taken where
#'   they are not given.
#' @return A fit, as of [image_classifier()], [image_regressor()] or [image_tagger()]. It prints
#'   what learned and what was frozen, and where the weights came from.
#' @seealso [find_learning_rate()] for the setting `learning_rate`, [embed()] for features without
#'   training.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' small <- digits[as.integer(digits$label) <= 5, ][1:300, ]
#' large <- digits[as.integer(digits$label) > 5, ][1:300, ]
#' first <- image_classifier(label ~ image, small, epochs = 2, seed = 1)
#' fit <- fine_tune(first, label ~ image, data = large, train = "head", epochs = 2, seed = 1)
#' fit
fine_tune <- function(object, ...) {
  UseMethod("fine_tune")
}

#' @rdname fine_tune
#' @export
fine_tune.default <- function(object, ...) {
  abort_diglot(
    sprintf(
      paste(
        "`fine_tune()` takes a network with weights, from pretrained(), or a fit of",
        "image_classifier(), not %s."
      ),
      describe_class(object)
    ),
    call = rlang::current_env()
  )
}

#' @rdname fine_tune
#' @export
fine_tune.diglot_pretrained <- function(object, ...) {
  call <- called("fine_tune", match.call())
  given <- training_data(..., known = asked_settings("classifier", ...))
  refuse_network(given$settings, rlang::current_env())
  given$settings$network <- object
  given$settings$train <- given$settings$train %||% "head_then_all"
  fit_predictor(given, call, "classifier")
}

#' @rdname fine_tune
#' @export
fine_tune.image_classifier <- function(object, ...) {
  call <- called("fine_tune", match.call())
  kind <- fit_kind(object)
  given <- training_data(..., known = asked_settings(kind, ...))
  refuse_network(given$settings, rlang::current_env())
  fit_predictor(given, call, kind, earlier = object)
}

#' @rdname fine_tune
#' @export
fine_tune.image_regressor <- fine_tune.image_classifier

#' @rdname fine_tune
#' @export
fine_tune.image_tagger <- fine_tune.image_classifier

refuse_network <- function(settings, call) {
  if ("network" %in% names(settings)) {
    abort_diglot("`network` is what is fine-tuned here: give it as `object`.", call = call)
  }
}

#' Features of images
#'
#' `embed()` runs images through a network up to a layer and returns what this puts out: numbers
#' that say what the network sees in an image, for models of your own ([stats::prcomp()],
#' [stats::glm()], [stats::kmeans()], ...).
#'
#' @param object A fit, see [image_classifier()], or a network, see [pretrained()].
#' @param newdata Images, as for [predict()][predict.image_classifier].
#' @param layer The name of a layer, see `summary(object)`; by default what the head sees.
#' @param engine What computes, see [image_classifier()]: `"auto"`, `"mxnet"` or `"torch"`. A fit
#'   has its own.
#' @param ... Not used. For numbers: passed on to [stats::embed()], which this generic masks.
#' @return A tibble with one row an image, in their order, and columns `.e1`, `.e2`, ...; or where
#'   the layer keeps places an array (image, height, width, channel).
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:300, ], epochs = 2, seed = 1)
#' features <- embed(fit, digits[301:400, ])
#' dim(features)
#' plot(prcomp(features)$x[, 1:2], col = digits$label[301:400])
#' dim(embed(fit, digits[301:400, ], layer = "pool1"))
embed <- function(object, ...) {
  UseMethod("embed")
}

#' @rdname embed
#' @export
embed.default <- function(object, ...) {
  # this generic masks stats::embed(), which is for time series
  if (missing(object)) {
    return(stats::embed(...))
  }
  if (is.numeric(object)) {
    return(stats::embed(object, ...))
  }
  abort_diglot(
    sprintf("`embed()` takes a fit or a pretrained network, not %s.", describe_class(object)),
    call = rlang::current_env()
  )
}

#' @rdname embed
#' @export
embed.image_classifier <- function(object, newdata, layer = NULL, ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  check_newdata(missing(newdata), env)
  layer_output(live_model(object, env), object, newdata, layer, env)
}

#' @rdname embed
#' @export
embed.image_regressor <- embed.image_classifier

#' @rdname embed
#' @export
embed.image_tagger <- embed.image_classifier

#' @rdname embed
#' @export
embed.diglot_pretrained <- function(object, newdata, layer = NULL, engine = "auto", ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  check_newdata(missing(newdata), env)
  layer_output(live_network(object, env), object, newdata, layer, env, engine)
}

check_newdata <- function(is_missing, call, what = "embed") {
  if (is_missing) {
    abort_diglot(sprintf("`newdata` is missing: the images to %s.", what), call = call)
  }
}

layer_output <- function(live, object, newdata, layer, call, engine = NULL) {
  if (!is.null(layer) && (!rlang::is_string(layer) || is.na(layer))) {
    abort_diglot("`layer` must be the name of one layer; summary() lists them.", call = call)
  }
  images <- newdata_images(object, newdata, "newdata", call)
  none <- list(kind = "list", items = list())
  payload <- if (image_count(images) > 0L) image_payload(images, "newdata", call) else none
  answer <- call_bridge("embed", live, payload, layer, engine, call = call)
  values <- array(answer$values, unlist(answer$dim))
  if (length(dim(values)) > 2L) {
    return(values)
  }
  colnames(values) <- paste0(".e", seq_len(ncol(values)))
  tibble::as_tibble(values)
}
