//! What the replies of the platforms have in common: `Retry-After`, excerpts.
