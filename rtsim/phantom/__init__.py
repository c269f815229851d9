"""What is irradiated: Phantom = CT + Structures; builders, margins, planning volumes, the spine generator."""
