"""Finding one face in pictures: detection, landmarks, following, crop and condition."""
