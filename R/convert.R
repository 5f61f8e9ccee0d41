# What R sends to Python: images and labels, checked and in the shape that crosses fastest.
#
# Images cross as one of
#   list(kind = "paths", paths)              file names
#   list(kind = "array", data, dim, axis)    one array; `axis` says which dimension counts images
#   list(kind = "list", items)               arrays of different sizes, each as above, axis = "none"
#   list(kind = "table", images, columns)    one of these, and covariates beside it
# and labels as 0-based codes beside their levels. The bridge holds the other half.

# ---- images

# `x` is what the user gave; `what` names it in messages ("data$image", "x").
image_payload <- function(x, what = "x", call = NULL) {
  x <- image_column(x, what, call)
  if (is_observed(x)) {
    observed_payload(x, what, call)
  } else if (is.character(x)) {
    path_payload(x, what, call)
  } else if (is.list(x)) {
    list_payload(x, what, call)
  } else {
    array_payload(x, what, call)
  }
}

image_count <- function(x) {
  if (is_observed(x)) {
    x <- x$images
  }
  if (is.data.frame(x) || (!is.null(dim(x)) && !is.list(x))) nrow(x) else length(x)
}

# Out of a data frame, the column "image" or the only one; AsIs and factor wrappings are taken off.
image_column <- function(x, what = "x", call = NULL) {
  if (is_observed(x)) {
    return(x)
  }
  if (is.data.frame(x)) {
    name <- if ("image" %in% names(x)) "image" else if (length(x) == 1L) names(x)
    if (is.null(name)) {
      abort_diglot(
        sprintf(
          "`%s` must have a column \"image\", or one column only; it has %s.",
          what, if (length(x) == 0L) "none" else quoted(names(x))
        ),
        call = call
      )
    }
    x <- x[[name]]
  }
  if (is.factor(x)) {
    x <- as.character(x)
  }
  if (is.character(x) && is.null(dim(x))) {
    return(as.vector(x))
  }
  if (is.list(x) && !is.object(x)) {
    return(x)
  }
  if (inherits(x, "AsIs") || inherits(x, "vctrs_list_of")) {
    x <- unclass(x)
    attr(x, "ptype") <- NULL
    return(x)
  }
  if (!is.object(x) && (is.numeric(x) || is.raw(x) || is.logical(x))) {
    return(x)
  }
  abort_diglot(
    sprintf(
      paste(
        "`%s` must hold file names, matrices or arrays of pixels, not %s.",
        "Convert it with as.array() or as.integer() first."
      ),
      what, describe_class(x)
    ),
    call = call
  )
}

path_payload <- function(x, what, call) {
  bad <- which(is.na(x) | !nzchar(x))
  if (length(bad) > 0L) {
    abort_diglot(
      sprintf(
        "`%s` has no file name in %s: remove the row or fill it in.", what, named_rows(bad)
      ),
      rows = bad, call = call
    )
  }
  # Python would not expand "~"
  list(kind = "paths", paths = as.list(enc2utf8(path.expand(x))))
}

list_payload <- function(x, what, call) {
  if (length(x) == 0L) {
    return(list(kind = "list", items = list()))
  }
  strings <- vapply(x, function(item) is.character(item) && length(item) == 1L, NA)
  if (all(strings)) {
    return(path_payload(unlist(x), what, call))
  }
  is_image <- vapply(
    x, function(item) (is.numeric(item) || is.raw(item) || is.logical(item)) && is_picture(item),
    NA
  )
  if (!all(is_image)) {
    row <- which(!is_image)[1L]
    abort_diglot(
      sprintf(
        paste(
          "`%s` holds %s in row %d: each element must be a matrix (height, width) or an array",
          "(height, width, channel) of pixels."
        ),
        what, describe_class(x[[row]]), row
      ),
      kind = c("image", "input"), rows = row, call = call
    )
  }
  size <- dim(x[[1L]])
  type <- typeof(x[[1L]])
  alike <- vapply(x, function(item) identical(dim(item), size) && typeof(item) == type, NA)
  if (all(alike)) {
    # one array crosses at once, a thousand matrices would cross one by one
    stack <- unlist(x, use.names = FALSE)
    dim(stack) <- c(size, length(x))
    return(one_array(stack, "last", what, call))
  }
  items <- lapply(seq_along(x), function(row) one_array(x[[row]], "none", what, call, row))
  list(kind = "list", items = items)
}

is_picture <- function(x) length(dim(x)) %in% 2:3 && all(dim(x) > 0L)

array_payload <- function(x, what, call) {
  dims <- length(dim(x))
  if (!dims %in% 2:4) {
    abort_diglot(
      sprintf(
        paste(
          "`%s` must be an array (image, height, width) or (image, height, width, channel), or a",
          "matrix with one flattened image a row; it is %s."
        ),
        what,
        if (dims == 0L) describe_class(x) else sprintf("an array of %d dimensions", dims)
      ),
      call = call
    )
  }
  one_array(x, "first", what, call)
}

one_array <- function(x, axis, what, call, row = NULL) {
  check_pixels(x, axis, what, call, row)
  size <- dim(x)
  if (is.logical(x)) {
    storage.mode(x) <- "double"
  }
  # Numbers as they are cross without a copy: R makes one where attributes were taken off.
  # reticulate takes no raw arrays, only vectors; numbers need a dim lest one alone be a scalar.
  if (is.raw(x)) {
    attributes(x) <- NULL
  } else if (!identical(names(attributes(x)), "dim")) {
    attributes(x) <- NULL
    dim(x) <- size
  }
  list(kind = "array", data = x, dim = as.list(size), axis = axis)
}

# Integers are 8-bit pixels; NA, NaN and infinite values are refused by row.
check_pixels <- function(x, axis, what, call, row = NULL) {
  if (is.raw(x) || length(x) == 0L) {
    return(invisible())
  }
  fine <- if (is.double(x)) is.finite(sum(x)) else !anyNA(x)
  if (!fine) {
    rows <- rows_where(!is.finite(x), axis, row)
    if (length(rows) > 0L) {
      abort_diglot(
        sprintf("`%s` has missing or infinite pixels in %s.", what, named_rows(rows)),
        kind = c("image", "input"), rows = rows, call = call
      )
    }
  }
  if (is.integer(x) && (min(x) < 0L || max(x) > 255L)) {
    rows <- rows_where(x < 0L | x > 255L, axis, row)
    abort_diglot(
      sprintf(
        paste(
          "`%s` has integers outside 0 to 255 in %s: integers are taken as 8-bit pixels.",
          "Convert other numbers with as.double(), scaled to about 0 to 1."
        ),
        what, named_rows(rows)
      ),
      kind = c("image", "input"), rows = rows, call = call
    )
  }
  invisible()
}

rows_where <- function(bad, axis, row) {
  if (axis == "none") {
    return(if (any(bad)) row else integer())
  }
  index <- which(bad, arr.ind = TRUE)
  sort(unique(unname(index[, if (axis == "first") 1L else ncol(index)])))
}

describe_class <- function(x) {
  if (is.null(x)) {
    return("nothing (NULL)")
  }
  if (is.null(dim(x)) && !is.object(x) && is.atomic(x)) {
    if (length(x) == 1L) {
      return(if (is.na(x)) "a missing value" else paste("a single", typeof(x), "value"))
    }
    return(sprintf("a plain %s vector of length %d", typeof(x), length(x)))
  }
  sprintf("an object of class %s", quoted(class(x)))
}

# The images that a pile of pixels from Python holds, as a list of matrices or arrays.
split_images <- function(stack) {
  size <- dim(stack)
  count <- size[length(size)]
  size <- size[-length(size)]
  attributes(stack) <- NULL
  each <- prod(size)
  lapply(seq_len(count), function(i) {
    array(stack[seq.int((i - 1) * each + 1, length.out = each)], size)
  })
}

# ---- labels

# Levels in their order, those that occur only; codes count from 0.
label_payload <- function(y, what = "y", call = NULL) {
  if (is.data.frame(y) && length(y) == 1L) {
    y <- y[[1L]]
  }
  text <- label_text(y, what, call)
  if (is.factor(y)) {
    levels <- levels(y)[levels(y) %in% text]
    values <- levels
    type <- "character"
  } else {
    values <- sort(unique(as.vector(y)), method = "radix") # the same order in every locale
    levels <- label_text(values, what, call)
    type <- if (is.character(y)) "character" else if (is.logical(y)) "logical" else "integer"
  }
  list(
    codes = array(match(text, levels) - 1L),
    levels = as.list(enc2utf8(levels)),
    type = type,
    ordered = is.ordered(y)
  )
}

# Labels as text, one spelling for each value whatever its type; refuses what is no label.
label_text <- function(y, what = "y", call = NULL) {
  if (is.null(y)) {
    abort_diglot(sprintf("`%s` is missing: a label for each image is needed.", what), call = call)
  }
  known <- is.factor(y) || is.character(y) || is.logical(y) ||
    (is.numeric(y) && !is.object(y)) || inherits(y, "AsIs")
  if (!known || is.list(y) || NCOL(y) != 1L) {
    abort_diglot(
      sprintf(
        "`%s` must be a factor, or character, integer or logical; it is %s. Try factor().",
        what, describe_class(y)
      ),
      call = call
    )
  }
  bad <- which(is.na(y))
  if (length(bad) > 0L) {
    abort_diglot(
      sprintf(
        "`%s` has no label in %s: remove the row or fill it in.", what, named_rows(bad)
      ),
      rows = bad, call = call
    )
  }
  if (is.double(y)) {
    bad <- which(y != round(y) | abs(y) > .Machine$integer.max)
    if (length(bad) > 0L) {
      abort_diglot(
        sprintf(
          "`%s` holds the number %s in %s, which names no class: use factor() or whole numbers.",
          what, format(y[bad[1L]]), named_rows(bad)
        ),
        rows = bad, call = call
      )
    }
    y <- as.integer(y)
  }
  as.character(y)
}

# ---- captions

# The captions of each row: one text, or a list's element of several. They cross as one list
# beside how many each row has. Whether a text holds words is for Python's tokeniser to say.
caption_payload <- function(captions, count, what = "captions", call = NULL) {
  rows <- caption_rows(captions, what, call)
  check_lengths(count, length(rows), call, "entries of captions")
  texts <- vapply(rows, is.character, NA)
  if (!all(texts)) {
    row <- which(!texts)[1L]
    abort_diglot(
      sprintf(
        "`%s` holds %s in row %d: each element must be texts, one or several.",
        what, describe_class(rows[[row]]), row
      ),
      rows = row, call = call
    )
  }
  bad <- which(lengths(rows) == 0L | vapply(rows, anyNA, NA))
  if (length(bad) > 0L) {
    abort_diglot(
      sprintf(
        "`%s` has no caption, or a missing one, in %s: remove the row or fill it in.",
        what, named_rows(bad)
      ),
      rows = bad, call = call
    )
  }
  values <- as.character(unlist(rows, use.names = FALSE))
  list(values = as.list(enc2utf8(values)), lengths = as.list(lengths(rows)))
}

caption_rows <- function(captions, what, call) {
  if (is.data.frame(captions) && length(captions) == 1L) {
    captions <- captions[[1L]]
  }
  if (is.null(captions)) {
    abort_diglot(
      sprintf("`%s` is missing: captions for each image are needed.", what),
      call = call
    )
  }
  if (is.factor(captions)) {
    captions <- as.character(captions)
  }
  if (inherits(captions, "AsIs") || inherits(captions, "vctrs_list_of")) {
    captions <- unclass(captions)
  }
  if (is.object(captions) || !(is.character(captions) || is.list(captions))) {
    abort_diglot(
      sprintf(
        "`%s` must be texts, one for each image, or a list of them; it is %s.",
        what, describe_class(captions)
      ),
      call = call
    )
  }
  unname(lapply(as.list(captions), function(one) if (is.factor(one)) as.character(one) else one))
}

# Codes of labels within the levels of a fit, from 0.
code_labels <- function(y, levels, what = "y", call = NULL) {
  text <- label_text(y, what, call)
  codes <- match(text, levels)
  bad <- which(is.na(codes))
  if (length(bad) > 0L) {
    strange <- unique(text[bad])
    abort_diglot(
      sprintf(
        "`%s` has labels that the model was not trained on: %s (%s). It knows %s.",
        what, quoted(strange), named_rows(bad), quoted(levels, 10L)
      ),
      rows = bad, call = call
    )
  }
  array(codes - 1L)
}

check_lengths <- function(images, labels, call = NULL, what = "labels") {
  if (images != labels) {
    abort_diglot(
      sprintf("There are %d images but %d %s: each image needs one.", images, labels, what),
      call = call
    )
  }
}

weight_payload <- function(weights, count, call = NULL) {
  if (is.null(weights)) {
    return(NULL)
  }
  if (!is.numeric(weights) || length(weights) != count) {
    abort_diglot(
      sprintf(
        "`weights` must be %d numbers, one for each image; it is %s.",
        count, describe_class(weights)
      ),
      call = call
    )
  }
  bad <- which(!is.finite(weights) | weights < 0)
  if (length(bad) > 0L) {
    abort_diglot(
      sprintf("`weights` must be 0 or more; look at %s.", named_rows(bad)),
      rows = bad, call = call
    )
  }
  array(as.double(weights))
}

# ---- settings

# Numbers that Python counts with: R's 10 is a double.
whole <- function(x) {
  if (is.double(x) && length(x) == 1L && !is.na(x) && x == round(x) &&
        abs(x) <= .Machine$integer.max) {
    as.integer(x)
  } else {
    x
  }
}

# ---- tables

# A table from the bridge, list(names, columns, levels), as a tibble.
table_from <- function(table) {
  columns <- Map(column_from, table$columns, table$types)
  names(columns) <- unlist(table$names)
  tibble::as_tibble(columns)
}

column_from <- function(values, type) {
  switch(type,
    pixels = split_images(values),
    images = values, # each came over as a matrix or an array of its own
    lists = split_lists(values),
    factor = factor_from(values),
    text = text_from(values),
    as.vector(values)
  )
}

# Lists of texts or numbers, which crossed as one, list(values, lengths).
split_lists <- function(lists) {
  lengths <- as.integer(lists$lengths)
  values <- if (is.numeric(lists$values)) as.vector(lists$values) else text_from(lists$values)
  owner <- factor(rep.int(seq_along(lengths), lengths), levels = seq_along(lengths))
  unname(split(values, owner))
}

factor_from <- function(values) {
  levels <- text_from(values$levels)
  codes <- as.integer(values$codes)
  codes[codes < 0L] <- NA # pandas' code of a missing value is -1
  factor(levels[codes + 1L], levels = levels, ordered = isTRUE(values$ordered))
}

# A list of strings and NULLs as a character vector.
text_from <- function(values) {
  if (is.character(values)) {
    return(as.vector(values))
  }
  vapply(values, function(value) if (is.null(value)) NA_character_ else as.character(value), "")
}
