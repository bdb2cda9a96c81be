"""Find persons and faces: one adapter a file behind one small protocol."""
