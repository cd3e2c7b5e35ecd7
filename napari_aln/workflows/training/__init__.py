"""From a cohort to a bundle: patients, features or pixels, epochs, measured card."""
