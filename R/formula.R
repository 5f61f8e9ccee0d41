# Formulas: what is to be learned ~ the images + covariates.

# Their parts: `outcome` and `image` as expressions, `covariates` as the terms of the others, NULL
# where there are none. The images are the term that is named image, else the first one.
formula_parts <- function(formula, data, call = rlang::caller_env()) {
  if (length(formula) != 3L) {
    abort_diglot(
      paste(
        "The formula must have two sides: what is to be learned ~ the images, such as",
        "`digit ~ image`, `caption ~ image` or `outcome ~ image + age + sex`."
      ),
      call = call
    )
  }
  terms <- formula_terms(formula, data, call)
  variables <- as.list(attr(terms, "variables"))[-1L]
  factors <- attr(terms, "factors")
  alone <- which(attr(terms, "order") == 1L)
  if (length(alone) == 0L) {
    abort_diglot("The formula names no images on its right.", call = call)
  }
  # which variable each of the terms is that has one variable only
  places <- apply(factors[, alone, drop = FALSE] > 0L, 2L, which)
  named <- vapply(variables[places], identical, NA, quote(image))
  image <- c(which(named), 1L)[1L]
  place <- places[image]
  rest <- attr(terms, "term.labels")[-alone[image]]
  if (any(factors[place, -alone[image]] > 0L)) {
    abort_diglot(
      sprintf(
        "`%s` holds the images, which cannot take part in an interaction.",
        deparse1(variables[[place]])
      ),
      call = call
    )
  }
  list(
    outcome = formula[[2L]], image = variables[[place]],
    covariates = covariate_terms(rest, terms, formula[[2L]], call)
  )
}

# `.` is every other column.
formula_terms <- function(formula, data, call) {
  if ("." %in% all.vars(formula[[3L]]) && length(names(data)) == 0L) {
    abort_diglot("`.` on the right of the formula needs `data` with columns.", call = call)
  }
  columns <- rep(list(numeric()), length(names(data)))
  columns <- as.data.frame(rlang::set_names(columns, names(data)), optional = TRUE)
  tryCatch(stats::terms(formula, data = columns), error = function(error) {
    abort_diglot(
      sprintf("The formula `%s` is not understood.", deparse1(formula)),
      call = call, parent = error
    )
  })
}

covariate_terms <- function(labels, terms, outcome, call) {
  if (!is.null(attr(terms, "offset"))) {
    abort_diglot("The formula must not have an offset().", call = call)
  }
  if (attr(terms, "intercept") == 0L) {
    abort_diglot("The formula must keep its intercept: the network has one.", call = call)
  }
  if (length(labels) == 0L) {
    return(NULL)
  }
  found <- stats::terms(stats::reformulate(labels, env = environment(terms)))
  both <- vapply(as.list(attr(found, "variables"))[-1L], identical, NA, outcome)
  if (any(both)) {
    abort_diglot(
      sprintf("`%s` is on both sides of the formula.", deparse1(outcome)),
      call = call
    )
  }
  found
}

# A side's value. A plain name must be a column where there is a data frame.
formula_value <- function(expr, data, env, what = "data", call = rlang::caller_env()) {
  if (!is.null(data) && !is.data.frame(data) && !is.list(data)) {
    abort_diglot(
      sprintf("`%s` must be a data frame, not %s.", what, describe_class(data)),
      call = call
    )
  }
  if (is.name(expr) && !is.null(data) && !as.character(expr) %in% names(data)) {
    missing_column(as.character(expr), names(data), what, call)
  }
  tryCatch(eval(expr, data, env), error = function(error) {
    abort_diglot(
      sprintf("`%s` of the formula cannot be evaluated.", deparse1(expr)),
      call = call, parent = error
    )
  })
}

# ---- what new data must hold

# The variables of both sides: `columns` that new data must have, and `values` of others, such as
# the name of a folder, which go with the fit; a formula's environment, which lm() keeps, would
# drag all else that is in it into saveRDS(). What is one an image, or large, is data.
formula_variables <- function(sides, data, env, count) {
  names <- unique(unlist(lapply(sides, all.vars)))
  columns <- intersect(names, names(data))
  others <- mget(setdiff(names, columns), envir = env, inherits = TRUE, ifnotfound = list(NULL))
  # names of something else, such as `b` in `a$b`, and functions, which are found where R finds them
  others <- Filter(function(value) !is.null(value) && !is.function(value), others)
  is_data <- vapply(others, function(value) {
    image_count(value) == count || utils::object.size(value) > most_kept
  }, NA)
  list(columns = c(columns, names(others)[is_data]), values = others[!is_data])
}

most_kept <- 1e5 # bytes of a value

# Those of one side that new data must have.
side_columns <- function(terms, side) {
  names <- all.vars(terms[[side]])
  if (is.null(terms$columns)) names else intersect(names, terms$columns)
}

# Whether new data holds one side of the fit's formula.
has_side <- function(fit, newdata, side) {
  is.data.frame(newdata) && !is.null(fit$terms[[side]]) &&
    all(side_columns(fit$terms, side) %in% names(newdata))
}

# A side's value in new data, of which other columns must not stand for the values that were kept.
side_value <- function(terms, side, newdata, what, call) {
  columns <- side_columns(terms, side)
  strange <- setdiff(columns, names(newdata))
  if (length(strange) > 0L) {
    missing_column(strange[1L], names(newdata), what, call)
  }
  env <- rlang::new_environment(as.list(terms$values), parent = globalenv())
  formula_value(terms[[side]], as.list(newdata)[columns], env, what, call)
}

missing_column <- function(name, columns, what, call) {
  has <- if (length(columns) == 0L) "no columns" else quoted(columns, 10L)
  abort_diglot(
    sprintf(
      "`%s` has no column %s; it has %s.%s", what, quoted(name), has, did_you_mean(name, columns)
    ),
    call = call
  )
}
