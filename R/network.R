# The catalogue of networks.

#' The networks that can be trained
#'
#' `networks()` lists the catalogue. `network()` describes one with settings of its own, for the
#' argument `network` of [image_classifier()].
#'
#' @param pattern Keep the names that match, such as `"resnet*"`.
#' @param name A name from the catalogue.
#' @param ... The network's settings, such as `hidden = c(64, 32)` for `"mlp"`; also `size`,
#'   `channels` and `classes` to print it as it would be for such images. In a fit these follow
#'   from the data.
#' @section Operators, loops and conditions of one's own:
#' These are written in Python, by `diglot.register_operator()`, `diglot.check_operator()` and
#' `diglot.control_flow`, and have no counterpart in R: an engine may call an operator from a thread
#' of its own, as MXNet's scheduler does, where R's functions cannot run. A fit in R takes such a
#' network by its file, and its operators where they are registered in the Python that reticulate
#' uses; `vignette("boltzmann-machines-and-own-operators")` shows both.
#' @return `networks()`: a tibble with one row a network. `network()`: a description that prints
#'   as a table of layers with their parameters and multiply-adds.
#' @export
#' @examplesIf diglot_available()
#' networks()
#' network("lenet", size = 32, channels = 3)
networks <- function(pattern = NULL) {
  env <- rlang::current_env()
  if (!is.null(pattern) && !rlang::is_string(pattern)) {
    abort_diglot("`pattern` must be text, such as \"resnet*\".", call = env)
  }
  table_from(call_bridge("networks", pattern, call = env))
}

#' @rdname networks
#' @export
network <- function(name, ...) {
  env <- rlang::current_env()
  settings <- list(...)
  named <- length(settings) == 0L || (!is.null(names(settings)) && all(nzchar(names(settings))))
  if (!rlang::is_string(name) || !named) {
    abort_diglot("`network()` needs a name, and named settings.", call = env)
  }
  recipe <- list(name = name, settings = lapply(settings, setting_payload))
  answer <- call_bridge("network", recipe, call = env)
  structure(
    list(name = name, settings = settings, parameters = answer$parameters, text = answer$text),
    class = "diglot_network"
  )
}

#' @export
print.diglot_network <- function(x, ...) {
  writeLines(x$text)
  invisible(x)
}
