//! Properties, checked on many generated cases.
