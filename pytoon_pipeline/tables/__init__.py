"""Tables of products as briefs: spreadsheets, exports, feeds, databases; and money in them."""
