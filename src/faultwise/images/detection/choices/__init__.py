"""What good images decide: resizing, and which turned or mirrored views count."""
