#' diglot: learning from images, in R and in Python, with one core
#'
#' Train, score and assess networks that classify images or describe them in words, from data
#' frames, arrays and folders. The learning happens in a Python core on Apache MXNet that the
#' package carries; the same code serves Python, so that a fit with the same data and the same
#' `seed` has the same [fingerprint()] in both languages, and a model file that one writes the
#' other reads.
#'
#' Start with [image_classifier()], or with [pretrained()] and [fine_tune()] where there are few
#' images, or with [image_captioner()]. [check_setup()] says what is installed and how to mend
#' what is not; [install_diglot()] installs the Python side.
#'
#' @section Where Python is found:
#' Loading the package starts no Python. The first function that needs it takes, in this order:
#' 1. the Python that reticulate has started already in this session;
#' 2. the environment variable `RETICULATE_PYTHON`;
#' 3. `options(diglot.python = )`, then the environment variable `DIGLOT_PYTHON`: the path of a
#'    Python or of a virtual environment;
#' 4. what [reticulate::use_python()] and its kin were told;
#' 5. a folder `.venv` with MXNet in it, in the working folder or one of its parents;
#' 6. the virtual environment `r-diglot`, which [install_diglot()] makes;
#' 7. with reticulate 1.41 or newer, an environment that reticulate makes from the declared
#'    requirements (see `reticulate::py_require()`).
#'
#' @section Options:
#' - `diglot.python`: see above.
#' - `diglot.verbose`: the default of `verbose` in fits: `"auto"`, `TRUE` or `FALSE`.
#'
#' @section Errors and warnings:
#' Every error is a condition of class `diglot_error_<kind>` and `diglot_error`, where the kind is
#' one of `input` (an argument or the data), `image` (an image; also of class
#' `diglot_error_input`), `model_file`, `download`, `device`, `memory`, `missing_package`,
#' `diverged`, `callback` (an R function given as a callback failed) and `python` (anything
#' unforeseen).
#' Warnings are of class `diglot_warning`; an interrupted fit also of
#' `diglot_warning_interrupted`.
#'
#' @keywords internal
"_PACKAGE"

#' @importFrom generics augment evaluate glance tidy
#' @importFrom stats coef confint predict simulate update
NULL

# The pronoun that ggplot2's aes() finds by itself: imported, it would load rlang with diglot.
utils::globalVariables(".data")
