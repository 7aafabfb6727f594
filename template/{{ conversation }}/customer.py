"""What a customer of the shop can be asked for, and the words by which that is meant (`gymkit/scripts.py`)."""

from gymkit.scripts import Topic

PRODUCT = r"(?:product|article|model|one|item|lamp|kettle|bag|watch|alternative|replacement)s?"

TOPICS = (
    Topic(
        "email",
        r"(?:e ?mails?|mail)(?: addresse?s?| ids?)?\b"
        r"|electronic (?:mail )?address\b"
        r"|address you write from\b",
    ),
    Topic(
        "postcode",
        r"(?:(?:post|postal|zip|area)[ -]?codes?|zip|plz)\b(?: (?:of|for|in) (?:your|the) (?:\w+ )?address\b)?",
    ),
    Topic(
        "order",
        r"(?:orders?|purchase|reference|booking|confirmation) (?:numbers?|nos?|ids?|codes?|reference)\b"
        r"|(?:number|id|reference) of (?:the|your|that|this) (?:order|purchase)\b"
        r"|which (?:one )?(?:of your )?orders?\b|what order\b|order in question\b"
        r"|order (?:is it|is this|are you|do you|does it|it is|you mean)\b",
    ),
    Topic(
        "new_address",
        r"(?:what|which|the|a|new|other|full|complete|your|to|delivery|shipping) (?:\w+ ){0,2}address\b|\baddress\b"
        r"|where (?:should|shall|do you|would you|to|it|the|we|is it|you live)\b|new (?:street|home|place)\b",
    ),
    Topic(
        "cause",
        r"(?:what|which|anything) (?:is|s|was|went|seems to be)? ?(?:the )?"
        r"(?:wrong|damaged?|broken|defect|reason|cause|matter)"
        r"|(?:is|was|are|has|did) (?:it|the \w+|that|this|something|your \w+)(?: arrive| come| been)? "
        r"(?:damaged|broken|faulty|defective)"
        r"|damaged (?:or|,)|reasons?\b|cause\b|why\b|changed? your mind|condition\b|faulty or\b|defects?\b"
        r"|(?:wrong|problems?) with (?:it|the|that|this|your)\b|happened to (?:it|the|that|this|your)\b",
    ),
    Topic(
        "new_product",
        rf"(?:which|what)(?: other)? {PRODUCT}\b(?!.* (?<!in )(?:return|refund|cancel|send back|give back))"
        r"(?: \w+){0,3} (?:like|want|prefer|instead|rather|get|have|wish|mean|should|replace)"
        rf"|{PRODUCT} (?:should|will|shall) replace"
        r"|(?:exchanged?|swap(?:ped)?|changed?|replaced?|trade) (?:it |that )?(?:for|with|by)\b"
        r"|(?:in exchange|instead|replacement|alternative|in return|in its place|rather have|another product)\b",
    ),
    Topic(
        "name",
        r"(?:full|first|last|family|sur) ?names?\b|your names?\b|what name\b"
        r"|whom? (?:am i|i am|i m|are you|is writing)\b",
    ),
    Topic("phone", r"(?:tele)?phone\b|mobile\b|cell\b"),
    Topic("birthday", r"birth ?(?:day|date)\b|date of birth\b|how old\b"),
)
"""In this order: words that one topic has taken are not read again for a later one."""
