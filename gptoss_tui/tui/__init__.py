"""The screen: a Textual application that draws the events of a turn and sends what the person writes."""
