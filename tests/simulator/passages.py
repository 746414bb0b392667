"""Thirty short passages on everyday subjects, and a question for each, in other words where people would use others."""

PASSAGES = (
    (
        "The lighthouse of Brennholm was lit for the first time in 1871. Its lamp stands 43 metres above the sea.",
        "When was the lighthouse first lit?",
    ),
    (
        "The keeper climbs 212 steps every evening to check the lamp, and notes the weather in a blue book.",
        "How many steps does the keeper climb each evening?",
    ),
    (
        "The last ferry back to the mainland leaves at 18:40. In winter there is no service on Mondays.",
        "At what time does the last ferry leave for the mainland?",
    ),
    (
        "Employees may carry over five days of unused holiday into the next year if their manager agrees in writing.",
        "How many unused holiday days can employees carry over?",
    ),
    (
        "Travel expenses are refunded within thirty days when the receipts are attached to the claim form.",
        "How soon are travel expenses refunded?",
    ),
    (
        "To reset the thermostat, hold the round button for ten seconds until the display shows three dashes.",
        "How do I reset the thermostat?",
    ),
    (
        "Basil needs warm soil and plenty of light; water it in the morning and keep its leaves dry overnight.",
        "When should basil be watered?",
    ),
    (
        "Sourdough bread rises because wild yeast and bacteria in the starter produce carbon dioxide.",
        "Why does sourdough bread rise?",
    ),
    (
        "The customer may return any product within fourteen days for a full refund, provided the seal is unbroken.",
        "Within how many days can a customer return a product for a refund?",
    ),
    (
        "Photosynthesis turns carbon dioxide and water into glucose and oxygen, using energy from sunlight.",
        "What does photosynthesis produce?",
    ),
    (
        "The Treaty of Westphalia of 1648 ended the Thirty Years' War and shaped the idea of sovereign states.",
        "Which treaty ended the Thirty Years' War?",
    ),
    (
        "Maria Rossi leads the hydrology group and can be reached at extension 4417 on weekdays.",
        "Who leads the hydrology group?",
    ),
    (
        "Passwords must have at least twelve characters and are changed every ninety days by the security office.",
        "How long must passwords be?",
    ),
    (
        "The mitochondrion is the organelle in which most of a cell's chemical energy is made.",
        "Which organelle makes the energy of the cell?",
    ),
    (
        "A python list can be sorted in place with its sort method; the sorted function returns a new list instead.",
        "How can I sort a python list in place?",
    ),
    (
        "The river Elbe rises in the Giant Mountains of Bohemia and flows into the North Sea near Cuxhaven.",
        "Where does the Elbe flow into the sea?",
    ),
    (
        "Two grams of saffron, the most expensive spice in the world, take about three hundred crocus flowers.",
        "What is the most expensive spice?",
    ),
    (
        "The committee voted by seven to two to postpone the building of the new bridge until the spring.",
        "How did the committee vote on building the bridge?",
    ),
    (
        "Glaciers move because ice deforms under its own weight and slides over meltwater at the bed.",
        "Why do glaciers move?",
    ),
    (
        "Invoices without an order number are sent back to the supplier unpaid by the accounts department.",
        "What happens to invoices that have no order number?",
    ),
    (
        "A violin has four strings, tuned in fifths from the low G to the high E, and is played with a bow.",
        "How many strings does a violin have?",
    ),
    (
        "The vaccine is stored at minus seventy degrees and can be kept in a refrigerator for five days after thawing.",
        "At what temperature is the vaccine stored?",
    ),
    (
        "Queen bees lay up to two thousand eggs a day in summer, while worker bees gather nectar and pollen.",
        "How many eggs does a queen bee lay per day?",
    ),
    (
        "The museum in the engine house opens at ten o'clock from May to September and charges four euros.",
        "When does the museum open?",
    ),
    (
        "Granite is an igneous rock of quartz, feldspar and mica that cooled slowly deep in the crust.",
        "What is granite made of?",
    ),
    (
        "The chess engine searches twelve moves ahead and prunes branches that cannot change the result.",
        "How far ahead does the chess engine search?",
    ),
    (
        "Dogs are welcome on the island but have to wait outside the tower and the bakery.",
        "Are dogs welcome on the island?",
    ),
    (
        "The warranty of the washing machine covers the motor for ten years and everything else for two.",
        "How long is the warranty on the motor of the washing machine?",
    ),
    (
        "Ada Lovelace wrote the first published algorithm for Babbage's Analytical Engine in 1843.",
        "Who wrote the first published algorithm?",
    ),
    (
        "Backups run every night at two and are kept for six weeks on servers in another building.",
        "For how long are backups kept?",
    ),
)
