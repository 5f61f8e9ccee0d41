# Progress: Python tells what happens, R draws it. Python calls these functions from the main
# thread only; a function that draws from R's random numbers has no place here.

# Where progress goes: "bar", "lines" or "none".
progress_style <- function(verbose = "auto") {
  if (isFALSE(verbose)) {
    return("none")
  }
  if (isTRUE(getOption("knitr.in.progress"))) {
    return("lines")
  }
  if (isTRUE(verbose)) {
    return(if (watched()) "bar" else "lines")
  }
  if (identical(Sys.getenv("TESTTHAT"), "true") || !watched()) "none" else "bar"
}

# A person at a console that can redraw a line.
watched <- function() {
  (interactive() || isatty(stderr())) && cli::is_dynamic_tty()
}

check_verbose <- function(verbose, call = NULL) {
  if (!(identical(verbose, "auto") || isTRUE(verbose) || isFALSE(verbose))) {
    abort_diglot("`verbose` must be \"auto\", TRUE or FALSE.", call = call)
  }
}

# The function that Python calls with each event, or FALSE for silence.
progress_function <- function(verbose = "auto") {
  switch(progress_style(verbose),
    none = FALSE,
    lines = draw_lines(),
    bar = draw_bar()
  )
}

draw_lines <- function() {
  function(event) {
    if (identical(event$event, "row")) {
      message(epoch_line(event$row))
    }
    invisible()
  }
}

draw_bar <- function() {
  bar <- NULL
  function(event) {
    switch(event$event,
      start = {
        bar <<- cli::cli_progress_bar(
          name = event$title,
          total = event$total %||% NA,
          format = if (is.null(event$total)) {
            "{cli::pb_spin} {cli::pb_name}{cli::pb_current} {cli::pb_status}"
          } else {
            "{cli::pb_name}{cli::pb_bar} {cli::pb_percent} {cli::pb_eta_str} {cli::pb_status}"
          },
          .auto_close = FALSE
        )
      },
      step = cli::cli_progress_update(set = event$done, status = event$text, id = bar),
      row = cli::cli_progress_output(epoch_line(event$row), id = bar),
      finish = {
        if (!is.null(bar)) {
          cli::cli_progress_done(id = bar)
        }
        bar <<- NULL
      }
    )
    invisible()
  }
}

# "epoch 3  loss 0.1234  accuracy 0.9810  val_loss 0.2000  (2.1 s)"
epoch_line <- function(row) {
  seconds <- row$seconds
  shown <- row[!names(row) %in% c("epoch", "seconds", "learning_rate", "images_per_second")]
  shown <- shown[vapply(shown, function(value) is.numeric(value) && length(value) == 1L, NA)]
  values <- vapply(shown, function(value) {
    sprintf(if (is.finite(value) && abs(value) < 5e-4 && value != 0) "%.1e" else "%.4f", value)
  }, "")
  parts <- sprintf("%s %s", names(shown), values)
  paste(
    c(
      paste("epoch", row$epoch),
      parts,
      if (!is.null(seconds)) sprintf("(%.1f s)", seconds)
    ),
    collapse = "  "
  )
}

`%||%` <- function(x, y) if (is.null(x)) y else x

# R functions given as callbacks. Python sees one function, called with each epoch's row as a list;
# an answer of FALSE stops the training. An error in one travels to the surface as it is.
callback_function <- function(callbacks, call = NULL) {
  if (is.null(callbacks)) {
    return(NULL)
  }
  if (is.function(callbacks)) {
    callbacks <- list(callbacks)
  }
  callbacks <- lapply(callbacks, function(callback) {
    tryCatch(rlang::as_function(callback), error = function(error) {
      abort_diglot(
        "`callbacks` must be a function, or a list of functions, of one epoch's row.",
        call = call, parent = error
      )
    })
  })
  function(row) {
    tryCatch(
      {
        row <- tibble::as_tibble(lapply(row, function(value) value %||% NA))
        answers <- lapply(callbacks, function(callback) callback(row))
        if (any(vapply(answers, isFALSE, NA))) "stop" else "go on"
      },
      error = function(error) {
        the$callback_error <- error
        "failed"
      },
      # Left to itself, an interrupt would jump out of R through Python's frames.
      interrupt = function(interrupt) "interrupted"
    )
  }
}
