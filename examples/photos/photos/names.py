"""Names, biographies, captions and comments for the seed: enough to look like people."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from photos import people

if TYPE_CHECKING:
    from random import Random

_FIRST = (
    "Ada Amara Amélie Ana Anders Anouk Arjun Aylin Beatriz Ben Carla Chidi Chloé Daichi "
    "Daniela Diego Dina Elena Elif Emeka Emil Esra Fatima Felix Freya Gabriel Giulia Hana "
    "Hannah Hugo Ida Ines Ingrid Isla Ivan Jakub Jonas Julia Kaito Karim Katya Kofi Lars "
    "Layla Leila Leo Lina Linh Lucía Luka Maja Malik Mara Marco Maren Mateo Maya Mei Mila "
    "Minh Mira Nadia Naomi Nia Nikos Noah Noor Nora Olivia Omar Oskar Paolo Petra Priya "
    "Rafael Rania Ravi Rosa Ruben Sami Sana Sara Selma Siobhán Sofia Sven Talia Tariq Tessa "
    "Theo Tomás Uma Valentina Vera Viktor Wei Yara Yusuf Zara Zoë "
)
FIRST = _FIRST.split()
_LAST = (
    "Abe Acosta Adeyemi Ahmed Almeida Andersson Bakker Baptiste Becker Bianchi Boateng "
    "Bondarenko Brandt Carvalho Castillo Chen Costa Dahl Danso Demir Diaz Dubois Eriksen "
    "Farah Fernández Fischer Fontaine Fujita García Gomes Greco Haas Hassan Herrera Horvat "
    "Ibrahim Iyer Jansen Jensen Kaya Keller Khan Kim Kowalski Kumar Larsen Laurent Lê "
    "Lindqvist López Marin Mbeki Meyer Mori Moreau Müller Nakamura Ndiaye Nguyen Novák Nowak "
    "Okafor Okoye Olsen Öztürk Park Patel Pereira Petrov Pham Rahman Ramos Reyes Ricci Rossi "
    "Roy Ruiz Santos Sato Schulz Silva Singh Sørensen Suzuki Tanaka Tran Vargas Vega Vogel "
    "Wang Weber Weiss Zhang "
)
LAST = _LAST.split()
BIOS = (
    "Mostly mountains.",
    "Light, water, and the odd bicycle.",
    "Analogue heart, digital camera.",
    "I walk early and look up.",
    "Colours first, questions later.",
    "Small things, seen closely.",
    "Somewhere between two trains.",
    "Evenings at the sea.",
    "Geometry in the wild.",
    "Teacher by day. Sunsets by evening.",
    "Weather enthusiast.",
    "",
    "",
    "",
)
CAPTIONS = (
    "Ten minutes before the rain.",
    "The last light of a long day.",
    "Worth getting up for.",
    "Found this on the way home.",
    "Quiet.",
    "Nobody else was there.",
    "I could have stayed for hours.",
    "Same place as last year, other colours.",
    "First day of the holidays!",
    "Looking for the path, found this.",
    "The wind did the rest.",
    "Blue hour.",
    "After the storm.",
    "Monday, improved.",
    "For my grandmother, who loved this view.",
    "",
    "",
    "",
)
COMMENTS = (
    "What a light!",
    "Beautiful.",
    "Where is this?",
    "I need to go there.",
    "These colours!",
    "Love the composition.",
    "Wow.",
    "This made my day.",
    "Print it, frame it.",
    "I can almost hear the wind.",
    "Which camera do you use?",
    "So calm.",
)


def person(random: Random) -> tuple[str, str]:
    """A name, and a handle made of it."""
    first, last = random.choice(FIRST), random.choice(LAST)
    name = f"{first} {last}"
    plain = people.words(name.replace("ø", "o")).split()
    styles = ("_".join(plain), "".join(plain), f"{plain[0]}{random.randint(2, 99)}")
    handle = re.sub(r"[^a-z0-9_]", "", random.choice(styles))
    return name, handle[:24].ljust(3, "x")
