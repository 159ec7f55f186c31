//! Reading and checking a connector's `config` as users write it.
