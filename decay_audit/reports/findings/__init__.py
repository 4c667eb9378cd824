"""What all formats say of findings: summary has the verdict, the notes and the names; location the file and line."""
