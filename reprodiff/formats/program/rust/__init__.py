"""What Rust's compiler leaves in ELF files: names with digests, the metadata of crates, embedded bitcode."""
