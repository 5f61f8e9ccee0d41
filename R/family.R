# What is learned, by the words of glm().

# The name of a family: a name, a function such as poisson, or what it returns.
family_name <- function(family, call = rlang::caller_env()) {
  if (is.null(family) || rlang::is_string(family)) {
    return(family)
  }
  if (identical(family, stats::quantile)) {
    return("quantile")
  }
  if (is.function(family)) {
    family <- tryCatch(family(), error = function(error) NULL)
  }
  if (!inherits(family, "family")) {
    abort_diglot(
      paste(
        "`family` must be a name, such as \"poisson\", or a family as glm() takes it,",
        "such as poisson()."
      ),
      call = call
    )
  }
  links <- c(gaussian = "identity", poisson = "log", binomial = "logit")
  if (!family$family %in% names(links) || family$link != links[[family$family]]) {
    abort_diglot(
      sprintf(
        "`family` %s with link %s is not known; these are: %s.", quoted(family$family),
        quoted(family$link), paste(names(links), links, sep = " with ", collapse = ", ")
      ),
      call = call
    )
  }
  family$family
}

# Which estimator a family asks for: "binomial" asks for two classes, or for tags.
family_kind <- function(family, kind) {
  numeric <- !is.null(family) && family %in% c("gaussian", "poisson", "quantile")
  if (kind == "classifier" && numeric) "regressor" else kind
}

# The kind that the door and the settings ask for, and the settings that it takes.
kind_and_settings <- function(kind, given, call) {
  settings <- given$settings
  family <- family_name(settings$family, call)
  settings$family <- family
  kind <- family_kind(family, kind)
  if (identical(family, "binomial") && kind == "classifier") {
    kind <- if (is_tags(given$labels)) "tagger" else "classifier"
    settings$family <- NULL # the softmax of two classes
  }
  if (kind == "tagger") {
    if (!is.null(family) && family != "binomial") {
      abort_diglot(
        sprintf("`family` of tags is \"binomial\", not %s.", quoted(family)),
        call = call
      )
    }
    settings$family <- NULL
  }
  list(kind = kind, settings = settings)
}

# ---- outcomes as the bridge takes them

# What is learned of each image, checked; `codes` has one entry an image.
outcome_payload <- function(kind, y, what, call) {
  switch(kind,
    classifier = label_payload(y, what, call),
    regressor = number_payload(y, what, call),
    tagger = tag_payload(y, what, call)
  )
}

outcome_count <- function(payload) {
  if (!is.null(payload$codes)) {
    return(length(payload$codes))
  }
  switch(payload$kind,
    numbers = length(payload$values),
    tags = nrow(payload$values),
    lists = length(payload$lengths)
  )
}

# Outcomes of new images, in the code of a fit.
known_outcome <- function(object, y, what, call) {
  if (inherits(object, "image_classifier")) {
    return(code_labels(y, object$levels, what, call))
  }
  if (inherits(object, "image_tagger")) {
    return(tag_payload(y, what, call, object$tags))
  }
  number_payload(y, what, call)
}

known_count <- function(known) if (is.list(known)) outcome_count(known) else length(known)

number_payload <- function(y, what = "y", call = NULL) {
  if (is.data.frame(y) && length(y) == 1L) {
    y <- y[[1L]]
  }
  if (is.null(y)) {
    abort_diglot(sprintf("`%s` is missing: a number for each image is needed.", what), call = call)
  }
  if (!is.numeric(y) || is.factor(y) || NCOL(y) != 1L) {
    abort_diglot(
      sprintf(
        "`%s` must be numbers, one for each image; it is %s. image_classifier() learns classes.",
        what, describe_class(y)
      ),
      call = call
    )
  }
  y <- as.double(y)
  bad <- which(!is.finite(y))
  if (length(bad) > 0L) {
    abort_diglot(
      sprintf(
        "`%s` is missing or infinite in %s: remove the row or fill it in.", what, named_rows(bad)
      ),
      rows = bad, call = call
    )
  }
  list(kind = "numbers", values = array(y))
}

is_tags <- function(y) is.list(y) || (!is.null(dim(y)) && ncol(y) > 1L)

# A matrix or data frame of zeros and ones, or a list of the tags that each image has.
tag_payload <- function(y, what = "y", call = NULL, known = NULL) {
  if (is.data.frame(y) && length(y) == 1L && is.list(y[[1L]])) {
    y <- y[[1L]]
  }
  if (is.list(y) && !is.data.frame(y)) {
    return(tag_lists(y, what, call))
  }
  table <- if (is.data.frame(y)) as.matrix(y) else y
  if (!is.matrix(table) || !(is.numeric(table) || is.logical(table))) {
    abort_diglot(
      sprintf(
        paste(
          "`%s` must be a matrix or data frame of zeros and ones with a column for each tag, or a",
          "list of the tags that each image has; it is %s."
        ),
        what, describe_class(y)
      ),
      call = call
    )
  }
  wrong <- array(!(table %in% c(0, 1)), dim(table))
  bad <- which(rowSums(wrong) > 0L)
  if (length(bad) > 0L) {
    abort_diglot(
      sprintf("`%s` must hold zeros and ones only; look at %s.", what, named_rows(bad)),
      rows = bad, call = call
    )
  }
  names <- colnames(table) %||% known %||% as.character(seq_len(ncol(table)))
  values <- array(as.double(table), dim(table))
  list(kind = "tags", values = values, tags = as.list(enc2utf8(names)))
}

tag_lists <- function(y, what, call) {
  rows <- lapply(unclass(y), function(tags) if (is.factor(tags)) as.character(tags) else tags)
  fine <- vapply(rows, function(tags) {
    is.null(tags) || (is.character(tags) && !anyNA(tags)) || length(tags) == 0L
  }, NA)
  if (!all(fine)) {
    abort_diglot(
      sprintf(
        "`%s` must hold a character vector of tags for each image, perhaps none; look at %s.",
        what, named_rows(which(!fine))
      ),
      rows = which(!fine), call = call
    )
  }
  values <- as.character(unlist(rows, use.names = FALSE))
  list(kind = "lists", values = as.list(enc2utf8(values)), lengths = as.list(lengths(rows)))
}

fit_kind <- function(object) sub("^image_", "", class(object)[class(object) %in% door_names][1L])

door_names <- c("image_classifier", "image_regressor", "image_tagger")

# What each kind learns, in messages.
outcome_words <- c(classifier = "labels", regressor = "numbers", tagger = "rows of tags")
