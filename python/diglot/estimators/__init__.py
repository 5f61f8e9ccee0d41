"""What the estimators share: settings, inputs, frozen parts computed once, fits in phases."""
