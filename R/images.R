# Where images come from.

#' Read a folder of images
#'
#' Finds the images below a folder that has one folder for each class. The files are not read
#' until a fit needs them, so that folders larger than memory can be trained on.
#'
#' @section Packed files:
#' With `cache = "photos.rec"` all images are packed into one file, and again when a file's size or
#' time of change, or the list of files, is another. It is in MXNet's RecordIO format; beside it lie
#' MXNet's index `photos.idx` and a list `photos.jsonl`. An image of it has a name such as
#' `"photos.rec/cat/1.png"`, which stands for the image wherever a file's name does, also when the
#' table is written down and read again. A fit to packed files is the one to the files, to the byte.
#' With `cache_size` so is one whose network takes images of that size, resized that way; other
#' networks see them resized twice.
#'
#' @param folder The folder; also a packed file that was made earlier, for use without the folder.
#' @param cache A file that ends in `.rec`, to pack the images into.
#' @param cache_size Pack 8-bit pictures decoded and resized: to this height and width as a whole,
#'   as networks without weights see them (one number, or two), or as a [network()] or
#'   [pretrained()] network takes them. By default files are packed as they are.
#' @param extensions Which file names count, such as `c("png", "jpg")`; by default all that diglot
#'   reads.
#' @param recursive Whether folders below the folders of the classes count, too.
#' @param verbose Progress of packing: `"auto"`, `TRUE` or `FALSE`.
#' @return A tibble with one row an image: `image`, the file's name, and `label`, a factor from the
#'   names of the folders.
#' @export
#' @examplesIf diglot_available() && requireNamespace("png", quietly = TRUE)
#' folder <- tempfile()
#' for (class in c("dark", "light")) {
#'   dir.create(file.path(folder, class), recursive = TRUE)
#'   for (i in 1:3) {
#'     png::writePNG(
#'       matrix(if (class == "dark") 0.1 else 0.9, 8, 8),
#'       file.path(folder, class, paste0(i, ".png"))
#'     )
#'   }
#' }
#' read_images(folder)
#'
#' packed <- read_images(folder, cache = tempfile(fileext = ".rec"), cache_size = 8)
#' basename(packed$image)
read_images <- function(folder, cache = NULL, cache_size = NULL, extensions = NULL,
                        recursive = TRUE, verbose = getOption("diglot.verbose", "auto")) {
  env <- rlang::current_env()
  folder <- enc2utf8(path.expand(check_path(folder, env)))
  if (!is.null(cache)) {
    cache <- enc2utf8(path.expand(check_path(cache, env)))
  }
  if (!is.null(extensions) && (!is.character(extensions) || anyNA(extensions))) {
    abort_diglot("`extensions` must be endings of file names, such as \"png\".", call = env)
  }
  check_flag(recursive, "recursive", env)
  check_verbose(verbose, env)
  table_from(call_bridge(
    "read_images", folder, cache, setting_payload(cache_size, env), progress_function(verbose),
    as.list(extensions), recursive,
    call = env
  ))
}

#' Read images in MNIST's IDX format
#'
#' @param images The file of images, gzipped or not.
#' @param labels The file of labels, if there is one.
#' @return A tibble with one row an image: `image`, a list of matrices of integers from 0 to 255,
#'   and with `labels` the factor `label`.
#' @export
#' @examplesIf diglot_available()
#' # two images of 2 x 3 pixels: type 8 (bytes), 3 dimensions, then the pixels row by row
#' file <- tempfile()
#' header <- as.raw(c(0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3))
#' writeBin(c(header, as.raw(0:11)), file)
#' read_idx(file)$image[[1]]
read_idx <- function(images, labels = NULL) {
  env <- rlang::current_env()
  files <- lapply(list(images, labels), function(file) {
    if (!is.null(file)) enc2utf8(path.expand(check_path(file, env)))
  })
  table_from(call_bridge("read_idx", files[[1L]], files[[2L]], call = env))
}

#' Example images
#'
#' Real images that need no network, as they come along with Python packages: `"digits"` are the
#' 1,797 handwritten digits of 8 x 8 pixels of scikit-learn (values from 0 to 16), `"faces"` the
#' 200 patches of 25 x 25 pixels of scikit-image, half of them faces (values from 0 to 1), and
#' `"textures"` 64 patches of 64 x 64 pixels from each of scikit-image's photographs of brick, grass
#' and gravel (8-bit pixels).
#'
#' @param name `"digits"`, `"faces"` or `"textures"`.
#' @return A tibble with one row an image: `image`, a list of matrices, and `label`, a factor. For
#'   `"textures"` also the factor `half`, the side of the photograph that the patch is from: train
#'   on one half and test on the other, lest neighbours of training patches flatter the result.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' digits
#' image(t(digits$image[[1]])[, 8:1], col = grey.colors(17, 0, 1), asp = 1, axes = FALSE)
example_images <- function(name = c("digits", "faces", "textures")) {
  env <- rlang::current_env()
  if (!is.character(name)) {
    abort_diglot("`name` must be \"digits\", \"faces\" or \"textures\".", call = env)
  }
  table_from(call_bridge("example_images", name[1L], call = env))
}
