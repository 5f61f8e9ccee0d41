# Typed conditions. Errors of the Python core arrive as data (see the bridge) and become
# conditions of the classes of their kinds here; nothing reads their messages.

abort_diglot <- function(message, kind = "input", ..., call = NULL, parent = NULL) {
  rlang::abort(
    message,
    class = c(paste0("diglot_error_", kind), "diglot_error"),
    ...,
    call = call,
    parent = parent
  )
}

warn_diglot <- function(message, kind = NULL, ..., call = NULL) {
  rlang::warn(
    message,
    class = c(if (!is.null(kind)) paste0("diglot_warning_", kind), "diglot_warning"),
    ...,
    call = call
  )
}

# A warning or an error that the bridge reported; `fit` is what a diverged fit had learned.
raise_error <- function(error, call, fit = NULL) {
  if (identical(error$kinds, "callback") && !is.null(the$callback_error)) {
    parent <- the$callback_error
    the$callback_error <- NULL
    abort_diglot("A callback failed.", kind = "callback", fit = fit, call = call, parent = parent)
  }
  if (identical(error$kinds, "interrupted")) {
    rlang::interrupt() # as if the user had interrupted R itself
  }
  abort_diglot(
    error$message,
    kind = unlist(error$kinds),
    fit = fit,
    python_class = error$class,
    python_traceback = error$traceback,
    call = call
  )
}

raise_warnings <- function(warnings, call) {
  for (warning in warnings) {
    warn_diglot(warning$message, kind = warning$kind, python_class = warning$class, call = call)
  }
}

quoted <- function(x, most = 6L) {
  shown <- encodeString(utils::head(as.character(x), most), quote = "\"")
  if (length(x) > most) {
    shown <- c(shown, sprintf("and %d more", length(x) - most))
  }
  paste(shown, collapse = ", ")
}

# "row 3", "rows 3, 7 and 9", "rows 1, 2, 3 and 40 more"
named_rows <- function(rows, most = 5L, what = "row") {
  if (length(rows) == 1L) {
    return(sprintf("%s %d", what, rows))
  }
  shown <- utils::head(rows, most)
  rest <- if (length(rows) > most) {
    sprintf("%d more", length(rows) - most)
  } else {
    last <- shown[length(shown)]
    shown <- shown[-length(shown)]
    as.character(last)
  }
  sprintf("%ss %s and %s", what, paste(shown, collapse = ", "), rest)
}

# The names nearest to a mistyped one, for "did you mean".
near_matches <- function(name, known, most = 3L) {
  if (length(known) == 0L) {
    return(character())
  }
  distance <- drop(utils::adist(name, known, ignore.case = TRUE))
  near <- order(distance)
  near <- near[distance[near] <= max(2, nchar(name) / 3)]
  known[utils::head(near, most)]
}

did_you_mean <- function(name, known) {
  near <- near_matches(name, known)
  if (length(near) == 0L) "" else sprintf(" Did you mean %s?", quoted(near))
}

# What lives as long as the session: the bridge module, an R callback's error on its way home.
the <- new.env(parent = emptyenv())

# ---- checks of arguments

check_flag <- function(x, name, call) {
  if (!rlang::is_bool(x)) {
    abort_diglot(sprintf("`%s` must be TRUE or FALSE.", name), call = call)
  }
}

check_number <- function(x, name, call, what = "whole number") {
  if (!is.numeric(x) || length(x) != 1L || is.na(x) || (what == "whole number" && x != round(x))) {
    abort_diglot(sprintf("`%s` must be one %s.", name, what), call = call)
  }
}
