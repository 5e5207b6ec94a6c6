"""The desktop organizer with tall things between the ketchup bottle and the basket, which must stay upright."""
