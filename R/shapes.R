# Drawn images whose captions are known to be right.

#' Draw shapes, with captions
#'
#' `shapes()` draws images of one to three coloured shapes, says in several wordings what is in
#' them, and keeps the record of the drawing. `check_shapes()` compares captions, such as those a
#' model made up, with that record.
#'
#' Each object is a small or large circle, square, triangle or cross in red, green, blue, yellow,
#' purple or orange on grey. Objects do not overlap, no two objects of an image agree in colour and
#' shape, and how neighbours lie to each other is clear: left of, right of, above or below.
#'
#' A caption is read by its noun phrases ("a small red circle") and relations ("to the left of",
#' "with ... below it"), in any wording that is made of them. It has to name every object once.
#'
#' @param n Number of images.
#' @param seed A whole number: the same seed gives the same images and captions, in Python too, and
#'   image `i` is the same whatever `n` is. `NULL` draws one with R's generator, so [set.seed()]
#'   works.
#' @param size Height and width in pixels, at least 32.
#' @param split `"train"` and `"test"` draw from the same 19 combinations of colour and shape, but
#'   not the same images. In `"unseen"` each image has one object of a combination that they never
#'   show: red triangle, green cross, blue circle, yellow square or purple triangle.
#' @param captions For `shapes()`, how many captions an image gets, 1 to 5, each in another of five
#'   wordings that are the same for all images with as many objects. For `check_shapes()`, a
#'   character vector, one caption for each row of `data`.
#' @param data What `shapes()` returned, or some of its rows.
#' @return `shapes()`: a tibble with one row an image: `image`, a list of arrays (height, width,
#'   channel) of integers from 0 to 255; `captions`, a list of character vectors; and `objects`, a
#'   list of tibbles with one row an object, from top left to bottom right (by `x + y`): `shape`,
#'   `colour`, `size` (`"small"` or `"large"`), the centre `x`, `y` in pixels from the left and from
#'   the top (the array's column and row), and `radius`, half of the width less half a pixel.
#'
#'   `check_shapes()`: a tibble with one row a caption, all logical: `colour`, `size` and `shape`
#'   tell whether that of every object is right, `relation` whether each further object is related
#'   to another and each relation is true (of two directions the one in which the centres lie
#'   farther apart counts), and `all` whether all of these are. A caption that cannot be read or
#'   names too many or too few objects is `FALSE` throughout.
#' @export
#' @examplesIf diglot_available()
#' data <- shapes(3, seed = 5)
#' data
#' data$captions[[1]]
#' data$objects[[1]]
#' plot(as.raster(data$image[[1]], max = 255))
#' check_shapes(c(data$captions[[1]][2], "a small red circle", "a circle"), data)
shapes <- function(n, seed = NULL, size = 64, split = c("train", "test", "unseen"),
                   captions = 5) {
  env <- rlang::current_env()
  for (name in c("n", "size", "captions")) {
    check_number(get(name), name, env)
  }
  if (!is.null(seed)) {
    check_number(seed, "seed", env)
  }
  if (!is.character(split) || anyNA(split) || length(split) == 0L) {
    abort_diglot("`split` must be \"train\", \"test\" or \"unseen\".", call = env)
  }
  answer <- call_bridge(
    "shapes", whole(n), whole(seed %||% draw_seed()), whole(size), split[1L], whole(captions),
    call = env
  )
  tibble::tibble(
    image = split_images(answer$image),
    captions = split_lists(answer$captions),
    objects = split_objects(table_from(answer$objects), answer$counts)
  )
}

#' @rdname shapes
#' @export
check_shapes <- function(captions, data) {
  env <- rlang::current_env()
  if (is.factor(captions)) {
    captions <- as.character(captions)
  }
  if (!is.character(captions) || anyNA(captions)) {
    abort_diglot("`captions` must be texts, one for each row of `data`, none missing.", call = env)
  }
  sent <- objects_payload(data, env)
  table_from(call_bridge(
    "check_shapes", as.list(enc2utf8(captions)), sent$columns, sent$counts, call = env
  ))
}

# The record of each image as a tibble of its own. Pixels count from 1 here.
split_objects <- function(objects, counts) {
  objects$x <- objects$x + 1L
  objects$y <- objects$y + 1L
  rows <- split_lists(list(values = seq_len(nrow(objects)), lengths = counts))
  # new_tibble(), as `[` would take ten times as long
  lapply(rows, function(i) tibble::new_tibble(lapply(objects, `[`, i), nrow = length(i)))
}

objects_payload <- function(data, call) {
  needed <- c("shape", "colour", "size", "x", "y")
  objects <- if (is.data.frame(data)) data[["objects"]]
  fits <- is.list(objects) &&
    all(vapply(objects, function(one) is.data.frame(one) && all(needed %in% names(one)), NA))
  if (!fits) {
    abort_diglot(
      "`data` must have the column \"objects\" as shapes() makes it: a tibble for each image.",
      call = call
    )
  }
  columns <- lapply(stats::setNames(nm = needed), function(name) {
    as.list(unlist(lapply(objects, `[[`, name), use.names = FALSE))
  })
  list(columns = columns, counts = as.list(vapply(objects, nrow, 0L)))
}
