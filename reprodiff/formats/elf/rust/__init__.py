"""What Rust's compiler puts into sections of ELF files: the metadata of crates, embedded bitcode, a list of crates."""
