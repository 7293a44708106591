//! Disks that are full, or may only be read.
