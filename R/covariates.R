# Covariates beside the images: columns that Python makes its model matrix of, or, where a formula
# has more than main effects, the columns of R's own model matrix.

# ---- images with what stands beside them

# What image_count() and image_payload() take, too; the images alone where nothing is beside them.
# `covariates` is a list of columns by name.
with_beside <- function(images, covariates, what, call) {
  if (length(covariates) == 0L) {
    return(images)
  }
  count <- image_count(images)
  for (name in names(covariates)) {
    if (length(covariates[[name]]) != count) {
      abort_diglot(
        sprintf(
          "`%s` has %d images but %d values of the covariate %s.",
          what, count, length(covariates[[name]]), quoted(name)
        ),
        call = call
      )
    }
  }
  structure(list(images = images, covariates = covariates), class = "diglot_observed")
}

is_observed <- function(x) inherits(x, "diglot_observed")

observed_payload <- function(x, what, call) {
  columns <- Map(
    function(column, name) covariate_payload(column, name, what, call),
    x$covariates, names(x$covariates)
  )
  list(kind = "table", images = image_payload(x$images, what, call), columns = unname(columns))
}

covariate_payload <- function(column, name, what, call) {
  bad <- which(if (is.numeric(column)) !is.finite(column) else is.na(column))
  if (length(bad) > 0L) {
    abort_diglot(
      sprintf(
        "The covariate %s of `%s` is missing or infinite in %s: leave them out or fill them in.",
        quoted(name), what, named_rows(bad)
      ),
      rows = bad, call = call
    )
  }
  if (is_levelled(column)) {
    column <- as_levelled(column)
    list(
      name = name, kind = "factor", codes = array(as.integer(column) - 1L),
      levels = as.list(enc2utf8(levels(column))), ordered = is.ordered(column)
    )
  } else if (is.numeric(column) && is.null(dim(column)) && !is.object(column)) {
    list(name = name, kind = "numbers", values = array(as.double(column)))
  } else {
    abort_diglot(
      sprintf(
        "The covariate %s of `%s` must be numbers, a factor, text or logical, not %s.",
        quoted(name), what, describe_class(column)
      ),
      call = call
    )
  }
}

is_levelled <- function(x) {
  is.factor(x) || ((is.character(x) || is.logical(x)) && !is.object(x) && is.null(dim(x)))
}

# Text and logicals as factors; the order of text is the same in every locale.
as_levelled <- function(x) {
  if (is.factor(x)) x else factor(x, levels = sort(unique(x), method = "radix"))
}

# ---- to learn from

# What a formula says of covariates: `columns` by name, and `terms` for new data where the columns
# are those of R's model matrix.
formula_covariates <- function(terms, data, env, contrasts, what, call) {
  if (is.null(terms)) {
    return(list())
  }
  variables <- as.list(attr(terms, "variables"))[-1L]
  if (all(attr(terms, "order") == 1L) && all(vapply(variables, is.name, NA))) {
    columns <- lapply(variables, formula_value, data, env, what, call)
    names(columns) <- vapply(variables, as.character, "")
    if (all(vapply(columns, function(x) is.null(dim(x)), NA))) {
      return(list(columns = columns))
    }
  }
  known <- if (!is.null(data)) intersect(all.vars(terms), names(data)) else all.vars(terms)
  missing <- setdiff(Filter(function(v) is_missing_name(v, variables), all.vars(terms)), known)
  if (length(missing) > 0L) {
    missing_column(missing[1L], names(data), what, call)
  }
  frame <- covariate_frame(terms, data, NULL, what, call)
  matrix <- stats::model.matrix(terms, frame, contrasts.arg = spelt_contrasts(contrasts))
  list(
    columns = matrix_columns(matrix),
    terms = list(
      terms = attr(frame, "terms"), xlevels = stats::.getXlevels(attr(frame, "terms"), frame),
      contrasts = attr(matrix, "contrasts"), variables = known
    )
  )
}

# Whether a name is a variable of its own: other names, as of a degree, may be from elsewhere.
is_missing_name <- function(name, variables) {
  any(vapply(variables, identical, NA, as.name(name)))
}

covariate_frame <- function(terms, data, xlevels, what, call) {
  frame <- tryCatch(
    stats::model.frame(
      terms, data,
      na.action = stats::na.pass, xlev = xlevels, drop.unused.levels = is.null(xlevels)
    ),
    error = function(error) {
      abort_diglot(
        sprintf("The covariates of `%s` cannot be evaluated.", what),
        call = call, parent = error
      )
    }
  )
  for (name in names(frame)) {
    bad <- which(rowSums(is.na(as.matrix(frame[[name]]))) > 0L)
    if (length(bad) > 0L) {
      abort_diglot(
        sprintf(
          "The covariate %s of `%s` is missing in %s: leave these rows out or fill them in.",
          quoted(name), what, named_rows(bad)
        ),
        rows = bad, call = call
      )
    }
  }
  frame
}

# A model matrix without its intercept, as numbers by name.
matrix_columns <- function(matrix) {
  names <- setdiff(colnames(matrix), "(Intercept)")
  rlang::set_names(lapply(names, function(name) unname(matrix[, name])), names)
}

# `covariates` beside x: a data frame, or the names of columns of x.
given_covariates <- function(covariates, x, what, call) {
  if (is.character(covariates) && is.data.frame(x)) {
    strange <- setdiff(covariates, names(x))
    if (length(strange) > 0L) {
      missing_column(strange[1L], names(x), what, call)
    }
    covariates <- x[covariates]
  }
  if (!is.null(covariates) && !is.data.frame(covariates)) {
    abort_diglot(
      paste(
        "`covariates` must be a data frame with one row an image, or the names of columns of `x`",
        "where this is a data frame."
      ),
      call = call
    )
  }
  as.list(covariates)
}

# The settings that say of which columns Python's model matrix is made, and how.
covariate_settings <- function(settings, columns, call) {
  given <- settings$contrasts
  settings["covariates"] <- list(as.list(names(columns)))
  settings$contrasts <- NULL
  strange <- setdiff(names(given), names(columns))
  if (!is.null(given) && (length(strange) > 0L || is.null(names(given)))) {
    abort_diglot(
      sprintf(
        "`contrasts` must be a list named by covariates, such as %s.%s",
        "list(sex = \"contr.sum\")",
        if (length(strange) > 0L) sprintf(" It names %s.", quoted(strange[1L])) else ""
      ),
      call = call
    )
  }
  levelled <- Filter(is_levelled, columns)
  if (length(levelled) > 0L) {
    settings$contrasts <- Map(
      function(column, name) contrast_payload(as_levelled(column), given[[name]], name, call),
      levelled, names(levelled)
    )
  }
  settings
}

# A factor without levels that do not occur: nothing can be learned about them. As in lm(),
# contrasts that are a matrix go with them.
used_levels <- function(x) {
  if (!is.factor(x) || all(levels(x) %in% x)) {
    return(x)
  }
  given <- attr(x, "contrasts")
  x <- droplevels(x)
  if (is.character(given)) {
    attr(x, "contrasts") <- given
  }
  x
}

# ---- contrasts

# The same words as R's for the contrasts that both languages know, any other as a matrix.
contrast_payload <- function(x, given, name, call) {
  chosen <- given %||% attr(x, "contrasts") %||%
    getOption("contrasts")[[if (is.ordered(x)) 2L else 1L]]
  if (is.function(chosen)) {
    same <- vapply(names(both_know), function(known) {
      identical(chosen, utils::getFromNamespace(known, "stats"))
    }, NA)
    chosen <- if (any(same)) names(both_know)[same] else chosen(levels(x))
  }
  if (is.character(chosen) && length(chosen) == 1L) {
    if (chosen %in% c(names(both_know), both_know)) {
      return(sub("^contr[.]", "", chosen))
    }
    make <- get0(chosen, envir = globalenv(), mode = "function")
    if (is.null(make)) {
      abort_diglot(
        sprintf("There are no contrasts %s, as %s is to have.", quoted(chosen), quoted(name)),
        call = call
      )
    }
    chosen <- make(levels(x))
  }
  if (!is.numeric(chosen) || !is.matrix(chosen)) {
    abort_diglot(
      sprintf(
        "The contrasts of %s must be a name such as \"contr.sum\", a function or a matrix.",
        quoted(name)
      ),
      call = call
    )
  }
  list(
    values = as.list(as.double(t(chosen))),
    columns = as.list(colnames(chosen) %||% as.character(seq_len(ncol(chosen))))
  )
}

both_know <- c(
  contr.treatment = "treatment", contr.sum = "sum", contr.helmert = "helmert", contr.poly = "poly"
)

# As model.matrix() takes them.
spelt_contrasts <- function(contrasts) {
  if (length(contrasts) == 0L) {
    return(NULL)
  }
  lapply(contrasts, function(given) {
    if (rlang::is_string(given) && given %in% both_know) paste0("contr.", given) else given
  })
}

# ---- of new data

newdata_covariates <- function(object, newdata, what, call) {
  names <- object$covariates
  if (length(names) == 0L) {
    return(NULL)
  }
  if (!is.data.frame(newdata)) {
    abort_diglot(
      sprintf(
        "The fit has covariates: `%s` must be a data frame with the images and %s.",
        what, quoted(object$terms$covariates$variables %||% names, 10L)
      ),
      call = call
    )
  }
  spec <- object$terms$covariates
  strange <- setdiff(spec$variables %||% names, names(newdata))
  if (length(strange) > 0L) {
    missing_column(strange[1L], names(newdata), what, call)
  }
  if (is.null(spec)) {
    return(as.list(newdata)[names])
  }
  frame <- covariate_frame(spec$terms, newdata, spec$xlevels, what, call)
  matrix_columns(stats::model.matrix(spec$terms, frame, contrasts.arg = spec$contrasts))
}
