"""Twenty ways to ask for each thing that a customer can be asked for, written once, before any was tried."""

PARAPHRASES = {
    "email": """
        What is your email address?
        Could you tell me your e-mail address, please?
        May I have your email?
        Please give me the email address that you ordered with.
        Under which mail address is your account?
        I need your e-mail to find you in our system.
        To look you up, I require your email address.
        Can you share the email address on file?
        Would you mind telling me the e-mail you used?
        Kindly provide your email.
        First, please confirm your email address.
        Which email did you use for the purchase?
        Let me know the e-mail address of your account.
        Could I get your email ID?
        I'd be happy to help! Can I have your email address first?
        Which e-mail address are you registered with?
        Please type in your email.
        What's the email associated with your account?
        I would like to know your email address.
        For security, I have to ask for your email address.
    """,
    "postcode": """
        What is your postcode?
        Could you tell me your postal code, please?
        May I have your ZIP code?
        Please give me the post code of your address.
        Which postcode is on your account?
        I need your postcode to verify your identity.
        I also require the zip code.
        Can you share the postal code on file?
        Would you mind telling me your postcode?
        Kindly provide your ZIP.
        Please confirm your postcode.
        Which zip code do you live in?
        Let me know your post-code.
        Could I get your postal code?
        And your postcode, please?
        To verify who you are: what is your zip code?
        Please state your postcode.
        What's the postcode of the account holder?
        I would like to know your postal code.
        For security, I have to ask for your postcode.
    """,
    "order": """
        What is your order number?
        Could you tell me the order number, please?
        May I have the order ID?
        Please give me the number of your order.
        Which order is this about?
        I need your order number to look it up.
        To go on, I require the order no.
        Can you share the order number with me?
        Would you mind telling me which order it is?
        Kindly provide your order number.
        Please confirm the order number.
        What's the reference number of your purchase?
        Let me know your order number.
        Could I get your order id?
        And which order do you mean?
        Which of your orders is it?
        Please quote your order number.
        Do you have the order number at hand?
        I would like to know the order number.
        What's the purchase number?
    """,
    "name": """
        What is your name?
        Could you tell me your full name, please?
        May I have your name?
        Please give me your first and last name.
        Under which name did you order? Your full name, please.
        I need your full name.
        Can you share your name?
        Would you mind telling me your name?
        Kindly provide your full name.
        Please confirm your name.
        Let me know your name.
        Could I get your surname?
        And your name, please?
        Who am I talking to?
        Please state your name.
        What's your last name?
        I would like to know your name.
        To whom am I speaking? Your name, please.
        Who is writing, please?
        May I ask your name?
    """,
    "cause": """
        Why would you like to return it?
        What is the reason for the return?
        Is the item damaged, or have you changed your mind?
        What is wrong with it?
        Was it damaged when it arrived?
        Could you tell me the reason, please?
        May I ask why you want your money back?
        Did it arrive broken, or do you just not want it?
        Please tell me what is wrong with the product.
        I need to know the reason for your refund request.
        Is it faulty?
        What was wrong with the item?
        Has the item been damaged?
        Can you tell me why you are returning it?
        Is there a defect?
        Please state the cause for the return.
        In what condition is the item?
        Did you change your mind, or is something broken?
        What seems to be the matter with it?
        Is anything broken or defective?
    """,
    "new_address": """
        What is your new address?
        Where should we send it instead?
        Could you tell me the new address, please?
        May I have the new delivery address?
        Please give me the full address.
        To which address should the order go?
        I need the new shipping address.
        Which address would you like it sent to?
        Can you share your new address, with the town?
        Where do you want it delivered?
        Kindly provide the correct address.
        Please confirm the new address.
        Let me know the address you have moved to.
        Could I get your new street and number?
        And where should the parcel go?
        What address should I put on the order?
        Please state the new delivery address.
        Where would you like the parcel to be sent?
        I would like to know where you live now.
        What's the updated shipping address?
    """,
    "new_product": """
        Which product would you like instead?
        What would you like in exchange?
        Could you tell me which one you want instead, please?
        Which other product do you prefer?
        Please tell me what you would like to have in its place.
        What should we send you in return?
        Which article would you rather have?
        I need to know which product you want to exchange it for.
        What do you want to swap it for?
        Which model would you like to get?
        Can you name the replacement that you would like?
        What would you rather have?
        Please let me know the product you want as a replacement.
        Which alternative do you have in mind?
        Which item should replace it?
        What should it be exchanged for?
        What would you want us to send instead?
        Which one would you prefer?
        Do you have another product in mind?
        And which product did you mean to order?
    """,
}
STATEMENTS = """
    Thank you for your email.
    I have found your order.
    Thank you for the postcode, that matches.
    One moment please, while I look up your order number.
    Your name is on the account, and so is your address.
    I will send a confirmation to your email address.
    You do not need to send me your postcode.
    The order was shipped to the address on file.
    There is no need to tell me your name.
    I am looking at your order now.
    Please hold on while I check the reason that is on record.
    Your email address has been verified.
    The postcode does not match.
    I can see two orders under your name.
    We will never share your email address with anybody.
"""
"""None of them asks for anything."""


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]
