# Captions as text.

#' Read a file of captions
#'
#' Reads which images there are and what is said of each. The pixels are not read until a fit needs
#' them. Three formats are told apart by their content:
#'
#' - COCO's captions, JSON with `images` and `annotations`, such as `captions_train2017.json`;
#' - Karpathy's splits, JSON with `images` that have `sentences` and a `split`, such as
#'   `dataset_coco.json` and `dataset_flickr8k.json`;
#' - Flickr8k's and Flickr30k's text: lines of an image's name, `#`, the caption's number, a tab and
#'   the caption (`Flickr8k.token.txt`), or comma-separated values under the header `image,caption`
#'   (`captions.txt`).
#'
#' A damaged file is an error that names the record, image or line; they count from 1.
#'
#' @param file The file, in UTF-8.
#' @param images The folder of the images. Names in the file are relative to it and cannot lead out
#'   of it. Whether the images are there is seen when they are read.
#' @param split The parts to take, where the file has splits: `"val"`, or `c("train", "restval")`
#'   for all that Karpathy's splits train on.
#' @return A tibble with one row an image, in the file's order: `image`, the path; `captions`, a
#'   list of character vectors, without blanks at their ends; and, where the file has splits, the
#'   factor `split`.
#' @references
#' X. Chen and others: Microsoft COCO Captions: Data Collection and Evaluation Server, 2015,
#' arXiv:1504.00325. A. Karpathy, L. Fei-Fei: Deep Visual-Semantic Alignments for Generating Image
#' Descriptions, CVPR 2015. M. Hodosh, P. Young, J. Hockenmaier: Framing Image Description as a
#' Ranking Task, Journal of Artificial Intelligence Research 47, 2013.
#' @export
#' @examplesIf diglot_available()
#' file <- tempfile(fileext = ".token.txt")
#' writeLines(c("dog.jpg#0\tA dog runs .", "dog.jpg#1\tA wet dog .", "cat.jpg#0\tA cat ."), file)
#' photos <- read_captions(file, "photos")
#' photos
#' photos$captions[[1]]
read_captions <- function(file, images = NULL, split = NULL) {
  env <- rlang::current_env()
  file <- enc2utf8(path.expand(check_path(file, env)))
  if (!is.null(images)) {
    images <- enc2utf8(path.expand(check_path(images, env)))
  }
  if (!is.null(split) && (!is.character(split) || anyNA(split) || length(split) == 0L)) {
    abort_diglot(
      "`split` must be names of splits, such as \"val\" or c(\"train\", \"restval\").", call = env
    )
  }
  split <- if (!is.null(split)) as.list(enc2utf8(split))
  table_from(call_bridge("read_captions", file, images, split, call = env))
}
